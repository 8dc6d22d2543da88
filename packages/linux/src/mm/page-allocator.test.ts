import { type Gfn, gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LinuxError } from '../error.ts';
import { createPageAllocator } from './page-allocator.ts';

function allocatorOf(start: number, end: number) {
  const pages = createPageAllocator();
  pages.add({ start: gfn(start), end: gfn(end) });
  return pages;
}

describe('the page allocator', () => {
  test('hands out the page that was freed last', () => {
    const pages = allocatorOf(0x2000, 0x4000);
    const first = pages.allocate() as Gfn;
    const second = pages.allocate() as Gfn;
    pages.free(first);
    pages.free(second);
    expect(pages.allocate()).toBe(second);
    expect(pages.allocate()).toBe(first);
  });

  test('takes memory from the lowest block up, and the first 16 MiB last', () => {
    const pages = allocatorOf(0x100, 0x1c00);
    expect(pages.allocate()).toBe(0x1000);
    expect(pages.allocate()).toBe(0x1001);
    for (let left = 0xc00 - 2; left > 0; left--) pages.allocate();
    expect(pages.allocate()).toBeLessThan(0x1000);
  });

  test('joins freed pages to blocks again', () => {
    const pages = allocatorOf(0x2000, 0x2400);
    const frames: Gfn[] = [];
    for (let frame = pages.allocate(); frame !== undefined; frame = pages.allocate()) frames.push(frame);
    expect(frames).toHaveLength(0x400);
    expect(pages.allocate(10)).toBeUndefined();
    for (const frame of frames) pages.free(frame);
    expect(pages.allocate(10)).toBe(0x2000);
    expect(pages.freeFrames).toBe(0);
  });

  test('takes over what is added later', () => {
    const pages = allocatorOf(0x2000, 0x2001);
    expect(pages.allocate()).toBe(0x2000);
    expect(pages.allocate()).toBeUndefined();
    pages.add({ start: gfn(0x3000), end: gfn(0x3002) });
    expect(pages.allocate(1)).toBe(0x3000);
  });

  test('refuses frames that are free already, and frames of others', () => {
    const pages = allocatorOf(0x2000, 0x2400);
    const frame = pages.allocate() as Gfn;
    pages.free(frame);
    expect(() => pages.free(frame)).toThrow(LinuxError);
    expect(() => pages.free(gfn(0x2200))).toThrow('frame 0x2200 is free already');
    expect(() => pages.free(gfn(0x9000))).toThrow(LinuxError);
    expect(() => pages.add({ start: gfn(0x23ff), end: gfn(0x2401) })).toThrow(LinuxError);
  });

  test('gives up what was added when all of it is free, and takes it again', () => {
    const pages = allocatorOf(0x2000, 0x2001);
    const section = { start: gfn(0x4000), end: gfn(0x4800) };
    pages.add(section);
    expect(pages.allocate()).toBe(0x2000);
    const frame = pages.allocate() as Gfn;
    expect(pages.remove(section)).toBe(false);
    pages.free(frame);
    expect(pages.remove(section)).toBe(true);
    expect([pages.freeFrames, pages.allocate(), pages.remove(section)]).toEqual([0, undefined, false]);
    expect(() => pages.free(frame)).toThrow(LinuxError);
    pages.add(section);
    expect(pages.allocate(10)).toBe(0x4000);
  });

  test('never hands out a frame twice, keeps blocks aligned, and counts right', () => {
    const SECTION = { start: gfn(0x4000), end: gfn(0x4800) };
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ allocate: fc.integer({ min: 0, max: 10 }) }) },
      { weight: 8, arbitrary: fc.record({ free: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ plug: fc.boolean() }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const pages = allocatorOf(0xc00, 0x2a01);
        const held: { frame: Gfn; order: number }[] = [];
        const taken = new Set<number>();
        let plugged = false;
        const isMemory = (at: number) =>
          (at >= 0xc00 && at < 0x2a01) || (plugged && at >= SECTION.start && at < SECTION.end);
        for (const one of steps) {
          if ('plug' in one) {
            if (one.plug === plugged) continue;
            if (one.plug) pages.add(SECTION);
            else {
              const inUse = [...taken].some((at) => at >= SECTION.start);
              expect(pages.remove(SECTION)).toBe(!inUse);
              if (inUse) continue;
            }
            plugged = one.plug;
          } else if ('allocate' in one) {
            const frame = pages.allocate(one.allocate);
            if (frame === undefined) continue;
            expect(frame % 2 ** one.allocate).toBe(0);
            for (let at: number = frame; at < frame + 2 ** one.allocate; at++) {
              if (taken.has(at) || !isMemory(at)) expect.fail(`frame ${at} is handed out`);
              taken.add(at);
            }
            held.push({ frame, order: one.allocate });
          } else if (held.length > 0) {
            const [{ frame, order } = { frame: gfn(0), order: 0 }] = held.splice(one.free % held.length, 1);
            pages.free(frame, order);
            for (let at: number = frame; at < frame + 2 ** order; at++) taken.delete(at);
          }
          expect(pages.freeFrames).toBe(0x2a01 - 0xc00 + (plugged ? 0x800 : 0) - taken.size);
        }
      }),
      { numRuns: 40 },
    );
  });
});
