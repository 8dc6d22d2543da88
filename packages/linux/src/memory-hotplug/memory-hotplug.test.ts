import { createMemoryMap, type Gfn, gfn } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
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
  ])('is refused when it is not a free section: frames %i to %i', (start, end) => {
    const { kernel } = bootKernel({ memoryMap });
    expect(kernel.addMemory({ start: gfn(start), end: gfn(end) })).toMatchObject({ errno: -22 });
    expect(done(kernel.addMemory(section))).toBeUndefined();
    expect(kernel.addMemory(section)).toMatchObject({ errno: -22 });
  });

  test('leaves the direct map and the array of struct page when it is given up, and can come again', () => {
    const running = bootKernel({ memoryMap });
    const { kernel } = running;
    const free = kernel.freeFrames;
    for (let turn = 0; turn < 2; turn++) {
      done(kernel.addMemory(section));
      expect(running.rights(running.direct(section.start))).toBe('rw-');
      done(kernel.removeMemory(section));
      expect(running.rights(running.direct(section.start))).toBe('---');
      // A table that held the mappings may stay.
      expect(free - kernel.freeFrames).toBeLessThanOrEqual(2);
    }
    expect(kernel.removeMemory(section)).toMatchObject({ errno: -22 });
    expect(kernel.removeMemory({ start: gfn(0), end: gfn(SECTION_FRAMES) })).toMatchObject({ errno: -22 });
  });

  test('leaves nothing behind when there are no pages for tables', () => {
    const heki = createRecordingHeki({ profile: 'hardened' });
    const running = bootKernel({ memoryMap, heki: heki.create, hooks: 'hardened' });
    const { kernel } = running;
    const counted = kernel.heki?.countedFrames();
    // Its direct map needs tables of its own.
    const far = { start: gfn(2 ** 21), end: gfn(2 ** 21 + SECTION_FRAMES) };
    const block = done(kernel.allocatePages(9));
    const taken: Gfn[] = [];
    for (let page = kernel.allocatePages(); page.kind === 'done'; page = kernel.allocatePages()) {
      taken.push(page.value);
    }
    kernel.freePages(block, 9);
    expect(kernel.addMemory(far)).toMatchObject({ kind: 'error', errno: -12 });
    expect(kernel.freeFrames).toBe(512);
    expect(running.rights(running.direct(far.start))).toBe('---');
    expect(kernel.heki?.countedFrames()).toBe(counted);
    for (const frame of taken) kernel.freePages(frame);
    done(kernel.addMemory(far));
    done(kernel.removeMemory(far));
    done(kernel.addMemory(section));
  });

  test('stays while a page of it is in use', () => {
    const { kernel } = bootKernel({ memoryMap });
    done(kernel.addMemory(section));
    const taken: Gfn[] = [];
    for (let frame = gfn(0); frame < section.start; taken.push(frame)) frame = done(kernel.allocatePages());
    expect(kernel.removeMemory(section)).toMatchObject({ kind: 'error', errno: -16 });
    for (const frame of taken) kernel.freePages(frame);
    done(kernel.removeMemory(section));
    expect(kernel.allocatePages(10).kind).toBe('done');
  });

  test('is counted only where the hooks are mended', () => {
    const counted = (hooks: Profile) => {
      const heki = createRecordingHeki({ profile: hooks });
      const { kernel } = bootKernel({ memoryMap, heki: heki.create, hooks });
      done(kernel.addMemory(section));
      return kernel.heki?.counters(gfn(section.start + 5));
    };
    expect(counted('rfc-v2')).toBeUndefined();
    expect(counted('hardened')).toEqual({ read: 1, write: 1, execute: 0 });
  });

  test('leaves the counters with its mappings where the hooks are mended', () => {
    const heki = createRecordingHeki({ profile: 'hardened' });
    const { kernel } = bootKernel({ memoryMap, heki: heki.create, hooks: 'hardened' });
    const before = kernel.heki?.countedFrames();
    done(kernel.addMemory(section));
    done(kernel.removeMemory(section));
    expect(kernel.heki?.counters(gfn(section.start + 5))).toBeUndefined();
    expect(kernel.heki?.countedFrames()).toBe(before);
  });
});
