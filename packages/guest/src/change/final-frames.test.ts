import { MEM_ATTR_EXEC, MEM_ATTR_IMMUTABLE, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FinalFrames } from './final-frames.ts';

const RX = MEM_ATTR_READ | MEM_ATTR_EXEC;
const SEALED = RX | MEM_ATTR_IMMUTABLE;
const range = (start: number, end: number): FrameRange<Gfn> => ({ start: start as Gfn, end: end as Gfn });

/** What one range becomes. */
function passed(
  final: readonly FrameRange<Gfn>[] | undefined,
  start: number,
  end: number,
  permissions: number,
) {
  const calls: (readonly [number, number, number])[] = [];
  const sink = new FinalFrames({ add: (from, to, value) => void calls.push([from, to, value]) }, final);
  sink.add(start as Gfn, end as Gfn, permissions, 0);
  return { calls, writableExecutable: sink.writableExecutable };
}

test.each([
  ['all of it is final', [range(0, 100)], [[10, 20, SEALED]]],
  ['none is', [], [[10, 20, RX]]],
  [
    'final frames end where it begins, and begin where it ends',
    [range(0, 10), range(20, 30)],
    [[10, 20, RX]],
  ],
  [
    'its tail lies behind the last final frame',
    [range(0, 15)],
    [
      [10, 15, SEALED],
      [15, 20, RX],
    ],
  ],
  [
    'its head lies before the first',
    [range(15, 30)],
    [
      [10, 15, RX],
      [15, 20, SEALED],
    ],
  ],
  [
    'final frames lie inside',
    [range(12, 14), range(16, 18)],
    [
      [10, 12, RX],
      [12, 14, SEALED],
      [14, 16, RX],
      [16, 18, SEALED],
      [18, 20, RX],
    ],
  ],
])('a range is immutable where it is final: %s', (_, final, expected) => {
  expect(passed(final, 10, 20, SEALED).calls).toEqual(expected);
});

test('without the rule, and for what is not to be immutable, everything passes as it is', () => {
  expect(passed(undefined, 10, 20, SEALED).calls).toEqual([[10, 20, SEALED]]);
  expect(passed([range(12, 14)], 10, 20, RX).calls).toEqual([[10, 20, RX]]);
});

test('frames that are writable and executable are counted', () => {
  expect(passed([], 10, 20, RX | MEM_ATTR_WRITE).writableExecutable).toBe(10);
  expect(passed([], 10, 20, SEALED).writableExecutable).toBe(0);
});

test('every frame passes once, in order, and is immutable exactly when it is final', () => {
  const ranges = fc
    .uniqueArray(fc.nat(60), { maxLength: 12 })
    .map((bounds) => bounds.sort((a, b) => a - b))
    .map((bounds) => bounds.flatMap((start, i) => (i % 2 === 0 ? [range(start, bounds[i + 1] ?? 61)] : [])));
  fc.assert(
    fc.property(ranges, fc.nat(60), fc.nat(20), (final, start, length) => {
      const { calls } = passed(final, start, start + length, SEALED);
      const frames = calls.flatMap(([from, to, value]) =>
        Array.from({ length: to - from }, (_, i) => [from + i, value] as const),
      );
      const isFinal = (frame: number): boolean =>
        final.some((each) => frame >= each.start && frame < each.end);
      expect(frames).toEqual(Array.from({ length }, (_, i) => [start + i, isFinal(start + i) ? SEALED : RX]));
    }),
  );
});
