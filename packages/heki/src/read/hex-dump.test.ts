import { PAGE_SIZE, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { readStretches } from './hex-dump.ts';

test('what is read ends where code becomes data, where a page is absent, and nowhere else', () => {
  const start = 0xffff_ffff_8100_0ff0n;
  const first = virtualFrameOf(virtualAddress(start));
  const memory = {
    read: (at: bigint, length: number) =>
      virtualFrameOf(virtualAddress(at)) === first + 4 ? undefined : new Uint8Array(length),
  };
  const stretches = readStretches(
    memory,
    undefined,
    virtualAddress(start),
    5 * PAGE_SIZE,
    (frame) => frame < first + 2 || frame === first + 4,
  );
  expect(
    stretches.map(({ address, length, isCode, bytes }) => [
      Number(address - start),
      length,
      isCode,
      bytes?.length,
    ]),
  ).toEqual([
    [0, 16 + PAGE_SIZE, true, 16 + PAGE_SIZE],
    [16 + PAGE_SIZE, 2 * PAGE_SIZE, false, 2 * PAGE_SIZE],
    [16 + 3 * PAGE_SIZE, PAGE_SIZE, false, undefined],
    [16 + 4 * PAGE_SIZE, PAGE_SIZE - 16, false, PAGE_SIZE - 16],
  ]);
});
