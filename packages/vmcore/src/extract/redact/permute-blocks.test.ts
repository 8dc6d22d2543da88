import { gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { broughtToFront, permutedFrame, permutedLeafFrame, withPermutedFrames } from './permute-blocks.ts';

describe('blocks brought to the front', () => {
  test('are followed by those that were before them, in order', () => {
    const order = broughtToFront([8, 9, 12, 20, 21], 20);
    expect([...order].sort(([a], [b]) => a - b)).toEqual([
      [8, 12],
      [9, 20],
      [12, 21],
      [20, 8],
      [21, 9],
    ]);
  });

  test('which are there already leave everything where it is', () => {
    expect(broughtToFront([8, 9, 12], 8).size).toBe(0);
  });

  test('take each place once', () => {
    const blocks = fc.uniqueArray(fc.nat(100)).map((all) => all.sort((a, b) => a - b));
    fc.assert(
      fc.property(blocks, fc.nat(100), (all, first) => {
        const order = broughtToFront(all, first);
        const places = all.map((block) => order.get(block) ?? block);
        expect([...places].sort((a, b) => a - b)).toEqual(all);
      }),
    );
  });
});

describe('a table page', () => {
  const order = new Map([
    [1, 3],
    [3, 1],
  ]);
  const words = (...values: readonly bigint[]) =>
    Uint32Array.from(values.flatMap((value) => [Number(value & 0xffff_ffffn), Number(value >> 32n)]));

  test('gets the frames that its present entries then have, and keeps all other bits', () => {
    const page = words(0x8000_0000_0020_1163n, 0x0000_0000_0060_00e3n, 0xfff0_0000_0060_1fffn, 0x163n);
    expect(withPermutedFrames(page, order)).toEqual(
      words(0x8000_0000_0060_1163n, 0x0000_0000_0020_00e3n, 0xfff0_0000_0020_1fffn, 0x163n),
    );
  });

  test('has the frames of entries that are not present, inverted as Linux does or as they were', () => {
    const inverted = (frame: bigint) => (0xff_ffff_ffffn - frame) << 12n;
    // PROTNONE, a large one with PSE, what set_memory_np leaves, and what KFENCE does.
    const page = words(
      ...[inverted(0x201n) | 0x100n, inverted(0x600n) | 0x80n, inverted(0x602n) | 0x62n],
      ...[0x20_3162n, 0x60_0062n, inverted(0x800n) | 0x62n],
    );
    expect(withPermutedFrames(page, order)).toEqual(
      words(
        ...[inverted(0x601n) | 0x100n, inverted(0x200n) | 0x80n, inverted(0x202n) | 0x62n],
        ...[0x60_3162n, 0x20_0062n, inverted(0x800n) | 0x62n],
      ),
    );
  });

  test('leaves a walk of Linux with the frames that permutedLeafFrame says', () => {
    const lastFrame = 2 ** 40 - 1;
    const entry = fc.record({
      frame: fc.nat(0x1000),
      isInverted: fc.boolean(),
      flags: fc.constantFrom(0x100, 0x163, 0x180, 0x80, 0x1e3),
    });
    fc.assert(
      fc.property(entry, ({ frame, isInverted, flags }) => {
        const isLarge = (flags & 0x80) !== 0;
        const frames = isLarge ? 512 : 1;
        const isPresent = (flags & 1) !== 0;
        const first = frame - (frame % frames);
        const stored = isInverted && !isPresent ? lastFrame - first : first;
        const leafOf = (low: number, high: number) => {
          const seen = Math.floor(low / 4096) + (high % 2 ** 20) * 2 ** 20;
          const found = isPresent ? seen : lastFrame - seen;
          return { guestFrame: gfn(found - (found % frames)), frames, low };
        };
        const before = words(BigInt(stored) * 4096n + BigInt(flags));
        const [low = 0, high = 0] = withPermutedFrames(before, order);
        const leaf = leafOf(before[0] ?? 0, before[1] ?? 0);
        expect(permutedLeafFrame(order, leaf, lastFrame)).toBe(leafOf(low, high).guestFrame);
      }),
    );
  });

  test('keeps the C-bit, which is not part of a frame', () => {
    const page = words(0x8008_0000_0020_1163n, 0x163n, 0x0008_0000_0000_0063n);
    expect(withPermutedFrames(page, order, 51)).toEqual(
      words(0x8008_0000_0060_1163n, 0x163n, 0x0008_0000_0000_0063n),
    );
  });

  test('has any frame where permutedFrame says', () => {
    fc.assert(
      fc.property(fc.nat(0x1000), (frame) => {
        const [low = 0] = withPermutedFrames(words(BigInt(frame) * 4096n + 0x63n), order);
        expect(Math.floor(low / 4096)).toBe(permutedFrame(order, gfn(frame)));
      }),
    );
  });
});
