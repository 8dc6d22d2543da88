import type { Run } from '../memory/bounded-runs.ts';
import { type Cell, cellOf, courseWithin, indexOf, LARGEST_ORDER, orderFor } from './hilbert.ts';

/** A square of the map: an aligned part of the curve, and so one run of frames. */
export interface MapView {
  /** Of the curve through all of memory. */
  readonly order: number;
  /** It shows 2^scale frames a side. */
  readonly scale: number;
  /** The first of its frames: a multiple of 4^scale. */
  readonly start: number;
}

/** The most cells a side, as a power of two: 256. */
const CELLS = 8;
/** A view has 8 frames a side at least. */
const SMALLEST = 3;

/** The smallest view from frame 0 that has `frames` of them. @param end of all that is known, which can be zoomed out to */
export function wholeView(frames: number, end: number): MapView {
  const scale = Math.max(SMALLEST, orderFor(frames));
  const order = Math.max(scale, orderFor(end));
  // The curve turns over with each order: by an even number of them it goes from left to right in this view, as in all of memory.
  return { order: Math.min(LARGEST_ORDER, order + ((order - scale) % 2)), scale, start: 0 };
}

/** The frames that a view has. */
export function framesOf({ start, scale }: MapView): Run {
  return { start, end: start + 4 ** scale };
}

/** The view of 2^scale frames a side that has `frame`. */
export function viewAround({ order }: MapView, frame: number, scale: number): MapView {
  const bounded = Math.max(SMALLEST, Math.min(order, scale));
  const size = 4 ** bounded;
  return { order, scale: bounded, start: Math.floor(frame / size) * size };
}

/** The smallest view that has `range`. */
export function viewOf(view: MapView, { start, end }: Run): MapView {
  for (let scale = SMALLEST; scale < view.order; scale++) {
    const smallest = viewAround(view, start, scale);
    if (end <= framesOf(smallest).end) return smallest;
  }
  return viewAround(view, start, view.order);
}

/** A view in cells, row by row. */
export interface MapGrid {
  readonly view: MapView;
  /** Cells a side. */
  readonly side: number;
  /** Frames of a cell, which the curve goes through in one run. */
  readonly cellFrames: number;
  /** Where each cell is, in the order of the curve: its column and `side` times its row. */
  readonly positions: Uint32Array;
}

/** The cells of a view. */
export function gridOf(view: MapView): MapGrid {
  const { order, scale, start } = view;
  const power = Math.min(CELLS, scale);
  const side = 2 ** power;
  const cellFrames = 4 ** (scale - power);
  const positions = courseWithin(order, start, scale, power);
  return { view, side, cellFrames, positions };
}

/** The frames of the cell at a column and a row. */
export function cellFramesAt({ view, side, cellFrames }: MapGrid, { x, y }: Cell): Run {
  const corner = cornerOf(view);
  const cellSide = 2 ** view.scale / side;
  const index = indexOf(view.order, { x: corner.x + x * cellSide, y: corner.y + y * cellSide });
  const start = Math.floor(index / cellFrames) * cellFrames;
  return { start, end: start + cellFrames };
}

/** The column and the row of the cell that has `frame`; `undefined` where the view does not have it. */
export function cellWith({ view, side }: MapGrid, frame: number): Cell | undefined {
  const { start, end } = framesOf(view);
  if (frame < start || frame >= end) return undefined;
  const corner = cornerOf(view);
  const cellSide = 2 ** view.scale / side;
  const { x, y } = cellOf(view.order, frame);
  return { x: Math.floor((x - corner.x) / cellSide), y: Math.floor((y - corner.y) / cellSide) };
}

/**
 * The frames of the cell `right` and `down` of that which has `frame`, in this view or, over its edge, in the next; `undefined` where the
 * map ends.
 */
export function neighbour(grid: MapGrid, frame: number, right: number, down: number): Run | undefined {
  const { order, scale } = grid.view;
  const cellSide = 2 ** scale / grid.side;
  const from = cellOf(order, frame);
  const x = Math.floor(from.x / cellSide) * cellSide + right * cellSide;
  const y = Math.floor(from.y / cellSide) * cellSide + down * cellSide;
  if (x < 0 || y < 0 || x >= 2 ** order || y >= 2 ** order) return undefined;
  const start = Math.floor(indexOf(order, { x, y }) / grid.cellFrames) * grid.cellFrames;
  return { start, end: start + grid.cellFrames };
}

/** The upper left of a view. */
function cornerOf({ order, scale, start }: MapView): Cell {
  const side = 2 ** scale;
  const { x, y } = cellOf(order, start);
  return { x: Math.floor(x / side) * side, y: Math.floor(y / side) * side };
}
