import type { U64 } from '@heki/physical-memory';

/** Virtual frames `start` .. `end` - 1 mapped to the guest frames from `target` on. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly target: number;
  readonly bits: U64;
}

/** An address space as a list of pieces: no tables, no sizes of leaves. */
export class PageModel {
  pieces: Piece[] = [];

  /** The piece that maps `frame`. */
  at(frame: number): Piece | undefined {
    return this.pieces.find(({ start, end }) => start <= frame && frame < end);
  }

  map(start: number, end: number, target: number, bits: U64): void {
    this.change(start, end, () => undefined);
    if (start < end) this.pieces.push({ start, end, target, bits });
  }

  /** Replaces the bits of all pieces in the range; `undefined` takes the mapping away. */
  change(start: number, end: number, bitsOf: (bits: U64) => U64 | undefined): void {
    this.pieces = this.pieces.flatMap((piece) => {
      const inside = part(piece, start, end);
      const bits = inside && bitsOf(inside.bits);
      return [
        part(piece, 0, start),
        inside && bits && { ...inside, bits },
        part(piece, end, Number.POSITIVE_INFINITY),
      ].filter((kept) => kept !== undefined);
    });
  }
}

function part(piece: Piece, start: number, end: number): Piece | undefined {
  const from = Math.max(piece.start, start);
  const to = Math.min(piece.end, end);
  return from < to
    ? { ...piece, start: from, end: to, target: piece.target + from - piece.start }
    : undefined;
}
