import type { Cell } from '../map/hilbert.ts';
import type { MapColours } from './use-colours.ts';

/** What is drawn. */
export interface Drawing {
  /** Cells of a row in `cells` and `marks`. */
  readonly side: number;
  readonly columns: number;
  readonly rows: number;
  /** The class of each cell. */
  readonly cells: Uint8Array;
  /** 1 for cells of the finding that is selected. */
  readonly marks: Uint8Array;
  readonly cursor: Cell | undefined;
  readonly colours: MapColours;
}

/** Pixels of the longer side, at least. */
const PIXELS = 768;
/** How much of their colour cells keep that are not marked, when some are. */
const DIMMED = 0.35;

/** Draws the map anew, and leaves a measure of how long that took for the browser's own tools. */
export function drawMap(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const start = performance.now();
  paint(canvas, drawing);
  performance.measure('heki-draw-map', { start });
}

function paint(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const { side, columns, rows, cells, marks, cursor, colours } = drawing;
  const size = Math.max(1, Math.floor(PIXELS / Math.max(columns, rows)));
  canvas.width = columns * size;
  canvas.height = rows * size;
  const context = canvas.getContext('2d');
  if (context === null) return;
  const isMarked = marks.includes(1);
  for (let y = 0; y < rows; y++) {
    // Neighbours of one colour are one rectangle.
    for (let x = 0; x < columns; ) {
      const at = y * side + x;
      let width = 1;
      while (x + width < columns && cells[at + width] === cells[at] && marks[at + width] === marks[at]) {
        width++;
      }
      context.globalAlpha = isMarked && marks[at] !== 1 ? DIMMED : 1;
      context.fillStyle = colours.classes[cells[at] ?? 0] ?? '';
      context.fillRect(x * size, y * size, width * size, size);
      x += width;
    }
  }
  context.globalAlpha = 1;
  if (isMarked) outlineMarks(context, drawing, size);
  if (cursor !== undefined) {
    // Two rings, one of which is seen on any colour.
    const radius = Math.max(size, 7);
    const [x, y] = [(cursor.x + 0.5) * size, (cursor.y + 0.5) * size];
    for (const [colour, width] of [
      [colours.background, 5],
      [colours.cursor, 2.5],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }
}

/** Draws lines where marked cells meet others. */
function outlineMarks(
  context: CanvasRenderingContext2D,
  { side, columns, rows, marks, colours }: Drawing,
  size: number,
): void {
  const isMarked = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < columns && y < rows && marks[y * side + x] === 1;
  context.fillStyle = colours.mark;
  const line = 2;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      if (!isMarked(x, y)) continue;
      const [left, top] = [x * size, y * size];
      if (!isMarked(x - 1, y)) context.fillRect(left - line, top - line, line, size + 2 * line);
      if (!isMarked(x + 1, y)) context.fillRect(left + size, top - line, line, size + 2 * line);
      if (!isMarked(x, y - 1)) context.fillRect(left - line, top - line, size + 2 * line, line);
      if (!isMarked(x, y + 1)) context.fillRect(left - line, top + size, size + 2 * line, line);
    }
  }
}
