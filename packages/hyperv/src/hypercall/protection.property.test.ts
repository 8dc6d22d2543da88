import {
  decodeHvResult,
  encodeHvControl,
  encodeHvModifyProtection,
  HV_PARTITION_SELF,
  HvCall,
  HvStatus,
} from '@heki/hypercall/hyperv';
import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTestGuest } from '../testing/guest.ts';

const FRAMES = 0x1000;

/** Page by page: how many are done, and what each then has. */
function modifySlowly(
  masks: number[],
  pages: readonly number[],
  start: number,
  flags: number,
): { status: number; repsCompleted: number } {
  for (let i = start; i < pages.length; i++) {
    const page = pages[i] ?? 0;
    if (page >= FRAMES) return { status: HvStatus.OPERATION_DENIED, repsCompleted: i };
    masks[page] = flags;
  }
  return { status: 0, repsCompleted: pages.length };
}

const run = fc
  .record({ first: fc.integer({ min: 0x1f0, max: FRAMES + 4 }), length: fc.integer({ min: 1, max: 100 }) })
  .map(({ first, length }) => Array.from({ length }, (_, i) => first + i));
const call = fc.record({
  pages: fc.array(run, { minLength: 1, maxLength: 5 }).map((runs) => runs.flat().slice(0, 510)),
  flags: fc.constantFrom(0, 1, 3, 9, 11, 13, 15),
  skip: fc.integer({ min: 0, max: 20 }),
});

test('calls over runs of pages do what one page after the other would', () => {
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: 8 }), (calls) => {
      const { vm, vcpu } = createTestGuest();
      const masks = new Array<number>(FRAMES).fill(15);
      const touched = new Set<number>();
      for (const { pages, flags, skip } of calls) {
        const repStart = Math.min(skip, pages.length - 1);
        const { result } = vm.vtl1Hypercall(
          vcpu,
          encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: pages.length, repStart }),
          encodeHvModifyProtection({
            partition: HV_PARTITION_SELF,
            flags,
            targetVtl: undefined,
            pages,
          }),
        );
        expect(decodeHvResult(result)).toEqual(modifySlowly(masks, pages, repStart, flags));
        for (const page of pages) for (const near of [page - 1, page, page + 1]) touched.add(near);
      }
      for (const page of touched) {
        const mask = masks[page];
        const rights = vm.effectiveRights(page as Gfn);
        const bits =
          rights &&
          Number(rights.read) +
            2 * Number(rights.write) +
            4 * Number(rights.supervisorExecute) +
            8 * Number(rights.userExecute);
        expect([page, bits]).toEqual([page, mask]);
      }
    }),
    { numRuns: 40 },
  );
});
