import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Gfn, gfn, PAGE_WORDS } from './address.ts';
import { createOverlay } from './overlay.ts';
import { createRam } from './ram.ts';

function baseWith(frames: number) {
  const base = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(frames) }] });
  for (let frame = 0; frame < frames; frame++) base.writablePage(gfn(frame))?.fill(0xb000 + frame);
  return base;
}

describe('copy-on-write overlay', () => {
  it('reads through to the base without copying', () => {
    const base = baseWith(4);
    const overlay = createOverlay({ base });
    expect(overlay.page(gfn(3))).toBe(base.page(gfn(3)));
    expect(overlay.pagesCopied).toBe(0);
    expect(overlay.isCopied(gfn(3))).toBe(false);
  });

  it('leaves absent what the base lacks, for reading and for writing', () => {
    const overlay = createOverlay({ base: baseWith(4) });
    expect(overlay.page(gfn(4))).toBeUndefined();
    expect(overlay.writablePage(gfn(4))).toBeUndefined();
    expect(overlay.page(gfn(4))).toBeUndefined();
    expect(overlay.pagesCopied).toBe(0);
  });

  it('shows in two overlays over one base only what each of them wrote', () => {
    const base = baseWith(4);
    const first = createOverlay({ base });
    const second = createOverlay({ base });
    const page = first.writablePage(gfn(2));
    if (page !== undefined) page[5] = 1;
    expect(first.page(gfn(2))?.[5]).toBe(1);
    expect(first.page(gfn(2))?.[6]).toBe(0xb002);
    expect(second.page(gfn(2))?.[5]).toBe(0xb002);
    expect(base.page(gfn(2))?.[5]).toBe(0xb002);
    expect(first.isCopied(gfn(2))).toBe(true);
    expect(first.writablePage(gfn(2))).toBe(page);
    expect(first.pagesCopied).toBe(1);
  });

  it('never writes the base and otherwise behaves as a plain copy of it', () => {
    const store = fc.record({
      frame: fc.integer({ min: 0, max: 7 }),
      word: fc.integer({ min: 0, max: PAGE_WORDS - 1 }),
      value: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(store), (stores) => {
        const base = baseWith(6);
        const copy = baseWith(6);
        const overlay = createOverlay({ base });
        for (const { frame, word, value } of stores) {
          for (const memory of [copy, overlay]) {
            const page = memory.writablePage(gfn(frame));
            if (page !== undefined) page[word] = value;
          }
        }
        for (let frame = 0; frame < 8; frame++) {
          const [expected, got] = [copy.page(gfn(frame)), overlay.page(gfn(frame))];
          expect(got && Array.from({ length: PAGE_WORDS }, (_, i) => got[i])).toEqual(
            expected && Array.from({ length: PAGE_WORDS }, (_, i) => expected[i]),
          );
          expect(base.page(gfn(frame))?.[17]).toBe(baseWith(6).page(gfn(frame))?.[17]);
        }
      }),
      { numRuns: 40 },
    );
  });
});
