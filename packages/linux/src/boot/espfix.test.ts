import { describe, expect, test } from 'vitest';
import { DEBIAN_6_1 } from '../index.ts';
import { kernelLeaves } from '../testing/machine.ts';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { bootKernel } from '../testing/running-kernel.ts';

const build = { ...DEBIAN_6_1, espfix: true };
/** Frames of 512 GiB from ESPFIX_BASE_ADDR on. */
const [START, END] = [0xf_ffff_f000_0000, 0xf_ffff_f800_0000];

describe.each([
  [4, undefined],
  [4, 7],
  [5, undefined],
  [5, 8],
] as const)('the espfix stacks, with %i levels and seed %s', (levels, kaslrSeed) => {
  const running = bootKernel({ build, levels, kaslrSeed });
  const { memory, kernel } = running;
  const places: number[] = [];
  const frames = new Set<number>();
  const rights = new Set<string>();
  kernelLeaves({ memory, root: kernel.pageTableRoot, levels }, (leaf) => {
    if (leaf.virtualFrame < START || leaf.virtualFrame >= END) return;
    places.push(leaf.virtualFrame);
    frames.add(leaf.guestFrame);
    rights.add(`${leaf.level} ${leaf.low & 2} ${leaf.high >>> 31}`);
  });

  test('are one page, read-only and not executable, at the same place of each 64 KiB of 4 GiB', () => {
    expect(places).toHaveLength(65_536);
    expect(frames.size).toBe(1);
    expect([...rights]).toEqual(['1 0 1']);
    const first = places[0] ?? 0;
    expect(places.every((place, index) => place === first + 16 * index)).toBe(true);
    expect(first % 2 ** 20).toBeLessThan(16);
    if (kaslrSeed === undefined) expect(first).toBe(START);
  });
});

test('are absent from a kernel without them, and Heki counts each of them', () => {
  const heki = createRecordingHeki({ profile: 'rfc-v2' });
  const { kernel, leaf } = bootKernel({
    build,
    heki: heki.create,
    hooks: 'rfc-v2',
    commandLine: 'nokaslr',
  });
  const frame = leaf((BigInt(START) << 12n) as Parameters<typeof leaf>[0])?.guestFrame;
  if (frame === undefined) throw new Error('no espfix page');
  // Protection adds what the direct map allows, once (B-G5).
  expect(kernel.heki?.counters(frame)).toEqual({ read: 65_536, write: 1, execute: 0 });
  const none = bootKernel({ commandLine: 'nokaslr' });
  expect(none.leaf((BigInt(START) << 12n) as Parameters<typeof leaf>[0])).toBeUndefined();
});
