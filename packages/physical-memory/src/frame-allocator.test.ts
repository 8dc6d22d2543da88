import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_END, type Pfn, pfn } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { createFrameAllocator } from './frame-allocator.ts';
import { FrameSet } from './testing/frame-set.ts';

describe('frame allocator', () => {
  it('hands out the lowest frames first and ends when none is left', () => {
    const allocator = createFrameAllocator<Pfn>({
      ranges: [
        { start: pfn(9), end: pfn(10) },
        { start: pfn(4), end: pfn(6) },
      ],
    });
    expect([allocator.allocate(), allocator.allocate(), allocator.allocate()]).toEqual([4, 5, 9]);
    expect(allocator.freeFrames).toBe(0);
    expect(allocator.allocate()).toBeUndefined();
  });

  it('hands out freed frames again', () => {
    const allocator = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(4) }] });
    for (let i = 0; i < 4; i++) allocator.allocate();
    allocator.free(pfn(2));
    expect(allocator.isFree(pfn(2))).toBe(true);
    expect(allocator.allocate()).toBe(2);
    expect(allocator.isFree(pfn(2))).toBe(false);
  });

  it('finds room for a 2-MiB page at a multiple of 2 MiB and keeps the rest for small pages', () => {
    const allocator = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(3), end: pfn(1030) }] });
    expect(allocator.allocateContiguous(512, 512)).toBe(512);
    expect(allocator.allocateContiguous(512, 512)).toBeUndefined();
    expect(allocator.allocate()).toBe(3);
    expect(allocator.freeFrames).toBe(1027 - 513);
    allocator.free(pfn(512), 512);
    expect(allocator.allocateContiguous(512, 512)).toBe(512);
  });

  it('refuses to free twice, naming the frame', () => {
    const allocator = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(8) }] });
    for (let i = 0; i < 4; i++) allocator.allocate();
    allocator.free(pfn(1));
    expect(() => allocator.free(pfn(1))).toThrow('frame 0x1 is free already');
    expect(() => allocator.free(pfn(0), 2)).toThrow('frame 0x1 is free already');
    expect(() => allocator.free(pfn(3), 3)).toThrow('frame 0x4 is free already');
    expect(allocator.freeFrames).toBe(5);
  });

  it('refuses frames that were never its own and impossible sizes', () => {
    const allocator = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(16), end: pfn(32) }] });
    expect(() => allocator.free(pfn(15))).toThrow(PhysicalMemoryError);
    expect(() => allocator.free(pfn(31), 2)).toThrow('expected frames of 0x10-0x20');
    expect(() => allocator.free(pfn(16), 0)).toThrow(PhysicalMemoryError);
    expect(() => allocator.allocateContiguous(0, 1)).toThrow('cannot allocate 0 frames');
    expect(() => allocator.allocateContiguous(1, 0.5)).toThrow('aligned to 0.5');
  });

  it('takes no memory for the frames of a range', () => {
    const allocator = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: FRAME_END as Pfn }] });
    expect(allocator.freeFrames).toBe(2 ** 40);
    expect(allocator.allocateContiguous(2 ** 18, 2 ** 18)).toBe(0);
    expect(allocator.allocate()).toBe(2 ** 18);
  });

  it('agrees with a set of free frames over any sequence of calls', () => {
    const call = fc.oneof(
      fc.record({ kind: fc.constant('allocate' as const) }),
      fc.record({
        kind: fc.constant('contiguous' as const),
        frames: fc.integer({ min: 1, max: 6 }),
        alignment: fc.constantFrom(1, 2, 4, 8),
      }),
      fc.record({
        kind: fc.constant('free' as const),
        frame: fc.nat(48),
        frames: fc.integer({ min: 1, max: 6 }),
      }),
    );
    const ranges = [
      { start: pfn(30), end: pfn(45) },
      { start: pfn(2), end: pfn(9) },
      { start: pfn(9), end: pfn(21) },
    ];
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60, size: 'max' }), (calls) => {
        const allocator = createFrameAllocator<Pfn>({ ranges });
        const model = new FrameSet(ranges);
        for (const step of calls) {
          if (step.kind === 'allocate') expect(allocator.allocate()).toBe(model.allocate(1, 1));
          else if (step.kind === 'contiguous') {
            expect(allocator.allocateContiguous(step.frames, step.alignment)).toBe(
              model.allocate(step.frames, step.alignment),
            );
          } else if (model.give(step.frame, step.frames)) allocator.free(pfn(step.frame), step.frames);
          else expect(() => allocator.free(pfn(step.frame), step.frames)).toThrow(PhysicalMemoryError);
          expect(allocator.freeFrames).toBe(model.free.size);
        }
        for (let frame = 0; frame < 50; frame++) {
          expect(allocator.isFree(pfn(frame))).toBe(model.free.has(frame));
        }
      }),
    );
  });
});
