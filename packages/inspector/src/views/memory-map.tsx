import { useEffect, useMemo, useRef } from 'preact/hooks';
import { classesOfCells, markedCells, usedPart } from '../map/cells.ts';
import type { Cell } from '../map/hilbert.ts';
import type { MapLayer } from '../map/map-layer.ts';
import { cellFramesAt, cellWith, type MapGrid, neighbour } from '../map/map-view.ts';
import type { Run } from '../memory/bounded-runs.ts';
import type { MemoryModel } from '../memory/memory-model.ts';
import { type Drawing, drawMap } from './draw-map.ts';
import { useColours } from './use-colours.ts';

interface MemoryMapProps {
  readonly memory: MemoryModel;
  /** What it is coloured by. */
  readonly layer: MapLayer;
  readonly grid: MapGrid;
  /** The frame that the cursor of the keyboard is at. */
  readonly cursor: number;
  readonly marked: readonly Run[];
  readonly onCursor: (frame: number) => void;
  /** The pointer is over these frames, or over none. */
  readonly onPoint: (range: Run | undefined) => void;
  /** Zooms by one step out of (1) or into (-1) a frame. */
  readonly onZoom: (by: number, frame?: number) => void;
  readonly onWhole: () => void;
  /** Selects what was found there. */
  readonly onChoose: (frame: number | undefined) => void;
}

/** Right and down. */
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const FAR = 8;

/** Memory along a curve of Hilbert, on a canvas that keyboard and pointer move over. */
export function MemoryMap({
  memory,
  layer,
  grid,
  cursor,
  marked,
  onCursor,
  onPoint,
  onZoom,
  onWhole,
  onChoose,
}: MemoryMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = useColours(layer.classes);
  const cells = useMemo(() => classesOfCells(grid, memory, layer), [grid, memory, layer]);
  const marks = useMemo(() => markedCells(grid, marked), [grid, marked]);
  const part = useMemo(() => usedPart(cells, grid.side), [cells, grid]);
  const cursorCell = cellWith(grid, cursor);

  useEffect(() => {
    const drawing: Drawing = { side: grid.side, ...part, cells, marks, cursor: cursorCell, colours };
    if (canvas.current !== null) drawMap(canvas.current, drawing);
  });

  const cellUnder = ({ offsetX, offsetY }: MouseEvent): Cell | undefined => {
    if (canvas.current === null) return undefined;
    const { clientWidth, clientHeight } = canvas.current;
    const x = Math.floor((offsetX / clientWidth) * part.columns);
    const y = Math.floor((offsetY / clientHeight) * part.rows);
    return x < 0 || y < 0 || x >= part.columns || y >= part.rows ? undefined : { x, y };
  };
  const framesUnder = (event: MouseEvent): Run | undefined => {
    const cell = cellUnder(event);
    return cell === undefined ? undefined : cellFramesAt(grid, cell);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (arrow !== undefined) {
      const far = event.shiftKey ? FAR : 1;
      const to = neighbour(grid, cursor, arrow[0] * far, arrow[1] * far);
      if (to !== undefined) onCursor(to.start);
    } else if (event.key === '+' || event.key === '=') onZoom(-1);
    else if (event.key === '-') onZoom(1);
    else if (event.key === '0') onWhole();
    else if (event.key === 'Enter' || event.key === ' ') {
      onChoose(Math.floor(cursor / grid.cellFrames) * grid.cellFrames);
    } else if (event.key === 'Escape') onChoose(undefined);
    else return;
    event.preventDefault();
    onPoint(undefined);
  };

  return (
    // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys must reach its cursor through a screen reader (ARIA 1.2, application)
    <canvas
      ref={canvas}
      class="map"
      role="application"
      aria-roledescription="map of memory"
      aria-label="Map of physical memory"
      aria-describedby="map-help"
      tabIndex={0}
      onKeyDown={onKeyDown}
      onMouseMove={(event) => onPoint(framesUnder(event))}
      onMouseLeave={() => onPoint(undefined)}
      onClick={(event) => {
        const frames = framesUnder(event);
        if (frames === undefined) return;
        onCursor(frames.start);
        onChoose(frames.start);
      }}
      onDblClick={(event) => onZoom(-1, framesUnder(event)?.start)}
      onWheel={(event) => {
        // Without a key the page scrolls.
        if (!event.ctrlKey) return;
        event.preventDefault();
        onZoom(event.deltaY < 0 ? -1 : 1, framesUnder(event)?.start);
      }}
    />
  );
}
