import { firstBehind } from '@heki/physical-memory';
import type { Run } from '../memory/bounded-runs.ts';
import { type MemoryModel, runsWithin } from '../memory/memory-model.ts';
import { PageClass } from '../memory/page-class.ts';
import type { MapLayer } from './map-layer.ts';
import { framesOf, type MapGrid } from './map-view.ts';

/** For each cell, row by row, the largest class of its frames: of permissions, the worst. */
export function classesOfCells(
  grid: MapGrid,
  { ram }: Pick<MemoryModel, 'ram'>,
  { runs }: Pick<MapLayer, 'runs'>,
): Uint8Array {
  const cells = new Uint8Array(grid.side * grid.side);
  const worsen = (run: Run, pageClass: number): void => {
    eachCell(grid, run, (cell) => {
      if ((cells[cell] ?? 0) < pageClass) cells[cell] = pageClass;
    });
  };
  const frames = framesOf(grid.view);
  for (const run of runsWithin(ram, frames)) worsen(run, PageClass.UNMAPPED);
  for (let at = firstBehind(runs, frames.start); at < runs.length; at++) {
    const run = runs[at];
    if (run === undefined || run.start >= frames.end) break;
    worsen(run, run.pageClass);
  }
  return cells;
}

/** For each cell whether it has frames of `ranges`, which ascend and are apart. */
export function markedCells(grid: MapGrid, ranges: readonly Run[]): Uint8Array {
  const cells = new Uint8Array(grid.side * grid.side);
  for (const range of runsWithin(ranges, framesOf(grid.view))) {
    eachCell(grid, range, (cell) => {
      cells[cell] = 1;
    });
  }
  return cells;
}

/** Visits where the cells are that have frames of `run`. */
function eachCell({ view, cellFrames, positions }: MapGrid, run: Run, visit: (cell: number) => void): void {
  const { start, end } = framesOf(view);
  const last = Math.min(run.end, end);
  const first = Math.floor((Math.max(run.start, start) - start) / cellFrames);
  for (let cell = first; start + cell * cellFrames < last; cell++) visit(positions[cell] ?? 0);
}

/** The part of the map that has anything: halves without RAM and mappings at the right and below are left out. */
export function usedPart(
  cells: Uint8Array,
  side: number,
): { readonly columns: number; readonly rows: number } {
  const half = side / 2;
  let right = false;
  let below = false;
  for (let at = 0; at < cells.length; at++) {
    if (cells[at] === PageClass.NOT_RAM) continue;
    right ||= at % side >= half;
    below ||= at >= half * side;
  }
  return { columns: right ? side : half, rows: below ? side : half };
}
