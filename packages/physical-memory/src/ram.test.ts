import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_END, type Gfn, gfn, PAGE_WORDS } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { createRam } from './ram.ts';

describe('sparse RAM', () => {
  it('reads zero inside its ranges and is absent outside', () => {
    const ram = createRam<Gfn>({ ranges: [{ start: gfn(16), end: gfn(18) }] });
    expect(ram.page(gfn(15))).toBeUndefined();
    expect(ram.page(gfn(16))?.length).toBe(PAGE_WORDS);
    expect(ram.page(gfn(17))?.[1023]).toBe(0);
    expect(ram.page(gfn(18))).toBeUndefined();
    expect(ram.writablePage(gfn(18))).toBeUndefined();
  });

  it('takes memory only for pages that were asked for writing', () => {
    const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(FRAME_END - 1) }] });
    for (let frame = 0; frame < 1000; frame++) ram.page(gfn(frame * 1e6));
    expect(ram.pagesTouched).toBe(0);
    ram.writablePage(gfn(5));
    ram.writablePage(gfn(5));
    expect(ram.pagesTouched).toBe(1);
  });

  it('gives the memory itself, not a copy', () => {
    const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(2) }] });
    const page = ram.writablePage(gfn(1));
    page?.fill(7);
    expect(ram.page(gfn(1))).toBe(page);
    expect(ram.page(gfn(0))?.[0]).toBe(0);
  });

  it('keeps every frame apart from every other, from 0 to 2^40', () => {
    const frame = fc.oneof(fc.integer({ min: 0, max: FRAME_END - 1 }), fc.integer({ min: 0, max: 4096 }));
    fc.assert(
      fc.property(
        fc.uniqueArray(frame, { maxLength: 50 }),
        fc.array(frame, { maxLength: 20 }),
        (frames, others) => {
          const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: FRAME_END as Gfn }] });
          for (const [index, written] of frames.entries()) ram.writablePage(gfn(written))?.fill(index + 1);
          const asked = [...frames, ...others];
          expect(asked.map((read) => ram.page(gfn(read))?.[read % PAGE_WORDS])).toEqual(
            asked.map((read) => frames.indexOf(read) + 1),
          );
          expect(ram.pagesTouched).toBe(frames.length);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('keeps frames apart on both sides of 2^30, from where on they are looked up in another way', () => {
    const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: FRAME_END as Gfn }] });
    const frames = Array.from({ length: 4096 }, (_, index) => gfn(2 ** 30 - 2048 + index));
    for (const [index, frame] of frames.entries()) ram.writablePage(frame)?.fill(index + 1);
    expect(frames.filter((frame, index) => ram.page(frame)?.[7] !== index + 1)).toEqual([]);
    expect(ram.page(gfn(2 ** 30 - 2049))?.[7]).toBe(0);
    expect(ram.page(gfn(2 ** 30 + 2048))?.[7]).toBe(0);
    expect(ram.pagesTouched).toBe(frames.length);
  });

  it('refuses ranges that are empty, overlap or lie outside 0 .. 2^40', () => {
    const range = (start: number, end: number) => ({ start: start as Gfn, end: end as Gfn });
    const create = (...ranges: ReturnType<typeof range>[]) => createRam<Gfn>({ ranges });
    expect(() => create(range(4, 4))).toThrow(PhysicalMemoryError);
    expect(() => create(range(5, 4))).toThrow('frames 0x5-0x4 are not a range');
    expect(() => create(range(-1, 4))).toThrow('frames -0x1-0x4');
    expect(() => create(range(0, FRAME_END + 1))).toThrow('0x10000000001');
    expect(() => create(range(0, 1.5))).toThrow('1.5');
    expect(() => create(range(8, 12), range(0, 9))).toThrow('frames 0x8-0xc overlap frames 0x0-0x9');
    expect(create(range(8, 12), range(0, 8)).page(gfn(11))?.[0]).toBe(0);
  });
});
