import type { Gfn, Pfn } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAttributeStore } from '../attributes/attribute-store.ts';
import { kvmDefects } from '../defects/kvm-defects.ts';
import { createLargePageFlags, type Memslot } from '../memslots/memslot.ts';
import { createLargePages } from './large-pages.ts';

const MEGA = 512;
const GIGA = 2 ** 18;
const LEVELS = [
  [2, MEGA],
  [3, GIGA],
] as const;

const change = fc.record({
  start: fc.integer({ min: 0, max: 3 * GIGA }),
  length: fc.oneof(
    fc.constantFrom(1, MEGA, GIGA),
    fc.integer({ min: 1, max: 3 * MEGA }),
    fc.integer({ min: 1, max: GIGA }),
  ),
  bits: fc.constantFrom(0x08, 0x10, 0x30, 0x50, 0x70, 0),
  unit: fc.constantFrom(1, MEGA, GIGA),
});
const slotShape = fc.record({
  base: fc.constantFrom(0, 5, MEGA, GIGA),
  end: fc.constantFrom(3 * GIGA, 3 * GIGA - 7, 2 * GIGA + MEGA, 2 * GIGA + 5 * MEGA + 9),
});

/** hugepage_has_attrs() as the series has it, with the 2 MiB regions that it reads past the end of their array. */
function hasAttributes(
  slot: Memslot,
  attributes: ReturnType<typeof createAttributeStore>,
  region: number,
  level: 2 | 3,
  bits: number,
): { readonly has: boolean; readonly beyond: number } {
  if (level === 2) return { has: attributes.all(region * MEGA, (region + 1) * MEGA, bits), beyond: 0 };
  const parts = Array.from({ length: MEGA }, (_, i) => region * MEGA + i);
  const fails = (part: number): boolean =>
    slot.mixed[2].has(part) || (bits & attributes.get((part * MEGA) as Gfn)) === 0;
  const first = parts.findIndex(fails);
  const read = first < 0 ? parts : parts.slice(0, first + 1);
  const end = slot.base + slot.frames;
  return { has: first < 0, beyond: read.filter((part) => part * MEGA >= end).length };
}

test.each([false, true])(
  'the published flags of mixed regions are those of each region that a range touches, looked at on its own (B-H9 %s)',
  (overReads) => {
    let partial = 0;
    let beyondAll = 0;
    fc.assert(
      fc.property(slotShape, fc.array(change, { minLength: 1, maxLength: 8 }), ({ base, end }, changes) => {
        const attributes = createAttributeStore();
        const slot = {
          id: 0,
          base: base as Gfn,
          frames: end - base,
          backing: base as Pfn,
          flags: 0,
          hostLevel: 3,
          mixed: createLargePageFlags(),
          dirty: undefined,
        };
        const expected = { ...slot, mixed: createLargePageFlags() };
        const read: number[] = [];
        const wanted: number[] = [];
        const largePages = createLargePages({
          attributes,
          defects: defectSwitches(kvmDefects, 'hardened', { 'B-H8': true, 'B-H9': overReads, 'B-H10': true }),
          privateMemory: false,
          overRead: (bytes) => read.push(bytes),
        });
        largePages.slotCreated(slot);
        for (const { start, length, bits, unit } of changes) {
          const first = start - (start % unit);
          attributes.update(first, first + length, bits, 0xf8);
          largePages.attributesChanged(slot, first, first + length, bits);
          const from = Math.max(first, base);
          const to = Math.min(first + length, end);
          if (from >= to) continue;
          if (overReads) {
            const head = Math.floor(from / GIGA);
            const whole = head * GIGA === from && from + GIGA <= to;
            if (!whole && head * GIGA >= base && (head + 1) * GIGA > end) {
              const { beyond } = hasAttributes(expected, attributes, head, 3, bits);
              if (beyond > 0) wanted.push(4 * beyond);
            }
          }
          for (const [level, span] of LEVELS) {
            for (let region = Math.floor(from / span); region * span < to; region++) {
              const inSlot = region * span >= base && (region + 1) * span <= end;
              const covered = region * span >= from && (region + 1) * span <= to;
              if (covered) expected.mixed[level].delete(region);
              else if (inSlot) {
                partial++;
                const { has } = hasAttributes(expected, attributes, region, level, bits);
                if (has) expected.mixed[level].delete(region);
                else expected.mixed[level].add(region);
              }
            }
          }
          for (const [level] of LEVELS) {
            expect([...slot.mixed[level]].sort()).toEqual([...expected.mixed[level]].sort());
          }
        }
        expect(read).toEqual(wanted);
        beyondAll += wanted.length;
      }),
      { numRuns: 120 },
    );
    expect(partial).toBeGreaterThan(0);
    expect(beyondAll > 0).toBe(overReads);
  },
);
