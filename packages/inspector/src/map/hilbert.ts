/** A cell of a square: `x` from the left, `y` from the top. */
export interface Cell {
  readonly x: number;
  readonly y: number;
}

/**
 * The curve of Hilbert goes through the four quadrants of a square in one of four orders, and through each of them in an order of its own: of
 * an orientation, the quadrants in the order of the curve (x, y), and the orientation of each.
 */
const ORIENTATIONS = [
  // Right, down, left: begins at the upper left, ends at the lower left.
  {
    quadrants: [
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ],
    next: [1, 0, 0, 2],
  },
  // Down, right, up: the same with x and y exchanged.
  {
    quadrants: [
      [0, 0],
      [0, 1],
      [1, 1],
      [1, 0],
    ],
    next: [0, 1, 1, 3],
  },
  // Up, left, down: exchanged and turned by half a turn.
  {
    quadrants: [
      [1, 1],
      [1, 0],
      [0, 0],
      [0, 1],
    ],
    next: [3, 2, 2, 0],
  },
  // Left, up, right: turned by half a turn.
  {
    quadrants: [
      [1, 1],
      [0, 1],
      [0, 0],
      [1, 0],
    ],
    next: [2, 3, 3, 1],
  },
] as const;

/** Frames have 40 bits: a square of 2^20 cells a side has them all. */
export const LARGEST_ORDER = 20;

/**
 * The cell that the curve comes to after `index` steps, in a square of 2^order cells a side. It begins at the upper left, ends at the lower
 * left, and goes from each cell to one beside it; each aligned run of 4^n steps is a square.
 *
 * @param order 0 .. {@link LARGEST_ORDER}
 * @param index 0 .. 4^order - 1
 */
export function cellOf(order: number, index: number): Cell {
  let orientation: (typeof ORIENTATIONS)[number] = ORIENTATIONS[0];
  let x = 0;
  let y = 0;
  let rest = index;
  for (let steps = 4 ** order / 4; steps >= 1; steps /= 4) {
    const digit = Math.floor(rest / steps);
    rest -= digit * steps;
    const quadrant = orientation.quadrants[digit] ?? [0, 0];
    x = x * 2 + quadrant[0];
    y = y * 2 + quadrant[1];
    orientation = ORIENTATIONS[orientation.next[digit] ?? 0] ?? ORIENTATIONS[0];
  }
  return { x, y };
}

/** How many steps the curve takes to a cell: the inverse of {@link cellOf}. */
export function indexOf(order: number, { x, y }: Cell): number {
  let orientation: (typeof ORIENTATIONS)[number] = ORIENTATIONS[0];
  let index = 0;
  for (let bit = order - 1; bit >= 0; bit--) {
    const column = (x >> bit) & 1;
    const row = (y >> bit) & 1;
    const digit: number = orientation.quadrants.findIndex(
      ([right, down]) => right === column && down === row,
    );
    index = index * 4 + digit;
    orientation = ORIENTATIONS[orientation.next[digit] ?? 0] ?? ORIENTATIONS[0];
  }
  return index;
}

/** The smallest order whose square has `cells` of them. */
export function orderFor(cells: number): number {
  let order = 0;
  while (4 ** order < cells) order++;
  return order;
}

/**
 * The way of the curve through an aligned part of it, a square of 4^scale steps from `start` on: for each of its 4^power equal parts, in the
 * order of the curve, its column and 2^power times its row. Each part costs a step, where {@link cellOf} takes one for each level.
 *
 * @param order of the whole curve, at least `scale`
 * @param power at most `scale`
 */
export function courseWithin(order: number, start: number, scale: number, power: number): Uint32Array {
  let orientation = 0;
  let rest = start;
  for (let steps = 4 ** order / 4; steps >= 4 ** scale; steps /= 4) {
    const digit = Math.floor(rest / steps);
    rest -= digit * steps;
    orientation = ORIENTATIONS[orientation]?.next[digit] ?? 0;
  }
  const side = 2 ** power;
  const course = new Uint32Array(side * side);
  let at = 0;
  const fill = (oriented: number, x: number, y: number, size: number): void => {
    if (size === 1) {
      course[at++] = x + side * y;
      return;
    }
    const { quadrants, next } = ORIENTATIONS[oriented] ?? ORIENTATIONS[0];
    const half = size / 2;
    for (let digit = 0; digit < 4; digit++) {
      const [right, down] = quadrants[digit] ?? [0, 0];
      fill(next[digit] ?? 0, x + right * half, y + down * half, half);
    }
  };
  fill(orientation, 0, 0, side);
  return course;
}
