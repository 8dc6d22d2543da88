import { PAGE_SIZE } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pageBitmap } from './page-bitmap.ts';

test('a bitmap ranks, counts and joins the frames of its part, and no bits before or behind them', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.nat(64),
      fc.nat(1700),
      fc.boolean(),
      (bits, first, end, full) => {
        if (full) bits.fill(255, 1, 150);
        const has = (frame: number) =>
          frame >= first && frame < end && ((bits[frame >> 3] ?? 0) >> (frame & 7)) % 2 === 1;
        const held = Array.from({ length: bits.length * 8 }, (_, frame) => frame).filter(has);
        const bitmap = pageBitmap(bits, first, end);
        expect(bitmap.count).toBe(held.length);
        const asked = [
          ...held.slice(0, 3),
          ...held.slice(-3),
          first - 1,
          first,
          end - 1,
          end,
          end + 1,
          bits.length * 8,
        ];
        for (const frame of asked) {
          expect(bitmap.rank(frame)).toBe(has(frame) ? held.indexOf(frame) : undefined);
        }
        const listed = bitmap
          .segments()
          .flatMap(({ start, end: stop }) =>
            Array.from({ length: (stop - start) / PAGE_SIZE }, (_, i) => start / PAGE_SIZE + i),
          );
        expect(listed).toEqual(held);
      },
    ),
    { numRuns: 60 },
  );
});
