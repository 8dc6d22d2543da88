/** Virtual frames that go elsewhere: `start` .. `end` - 1 to `to` and those behind it. */
export interface Move {
  readonly start: number;
  readonly end: number;
  readonly to: number;
}

/** Where moves take a virtual frame; itself when no move has it. */
export function movedTo(moves: readonly Move[], frame: number): number {
  const move = moves.find(({ start, end }) => frame >= start && frame < end);
  return move === undefined ? frame : frame - move.start + move.to;
}

/** Tables that cannot be moved as planned; the message says why. */
export class CannotMove extends Error {
  override readonly name = 'CannotMove';
}
