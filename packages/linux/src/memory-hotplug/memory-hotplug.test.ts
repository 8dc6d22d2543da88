import { createMemoryMap, type Gfn, gfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { bootKernel, done } from '../testing/running-kernel.ts';
import { SECTION_FRAMES } from './memory-hotplug.ts';

/** 128 MiB at boot; what lies behind, up to 256 MiB, is there and not yet the kernel's. */
const memoryMap = createMemoryMap<Gfn>([
  { start: gfn(1), end: gfn(0x9f), type: 'ram' },
  { start: gfn(0x100), end: gfn(SECTION_FRAMES), type: 'ram' },
]);
const section = { start: gfn(SECTION_FRAMES), end: gfn(2 * SECTION_FRAMES) };

describe('memory that is plugged in', () => {
  test('is in the direct map, in the array of struct page, and free', () => {
    const running = bootKernel({ memoryMap });
    const { kernel } = running;
    const free = kernel.freeFrames;
    done(kernel.addMemory(section));
    // 2 MiB went to the array of struct page, and a few pages to tables.
    expect(kernel.freeFrames - free).toBeGreaterThan(SECTION_FRAMES - 512 - 8);
    expect(running.rights(running.direct(gfn(section.start + 77)))).toBe('rw-');
    expect(running.rights(running.direct(gfn(section.end)))).toBe('---');
  });

  test.each([
    [SECTION_FRAMES + 1, 2 * SECTION_FRAMES + 1],
    [SECTION_FRAMES, SECTION_FRAMES + 512],
    [0, SECTION_FRAMES],
  ])('is refused when it is no free section: frames %i to %i', (start, end) => {
    const { kernel } = bootKernel({ memoryMap });
    expect(kernel.addMemory({ start: gfn(start), end: gfn(end) })).toMatchObject({ errno: -22 });
    expect(done(kernel.addMemory(section))).toBeUndefined();
    expect(kernel.addMemory(section)).toMatchObject({ errno: -22 });
  });

  test('is counted only where the hooks are mended', () => {
    const counted = (hooks: 'rfc-v2' | 'hardened') => {
      const heki = createRecordingHeki({ profile: hooks });
      const { kernel } = bootKernel({ memoryMap, heki: heki.create, hooks });
      done(kernel.addMemory(section));
      return kernel.heki?.counters(gfn(section.start + 5));
    };
    expect(counted('rfc-v2')).toBeUndefined();
    expect(counted('hardened')).toEqual({ read: 1, write: 1, execute: 0 });
  });
});
