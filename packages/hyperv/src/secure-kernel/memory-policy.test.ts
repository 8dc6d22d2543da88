import { HvStatus, LvbsFunction } from '@heki/hypercall/hyperv';
import type { ProtectionRange, Rights } from '@heki/hypervisor';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createHyperv } from '../hyperv.ts';
import { rightsOfFlags } from '../partition/map-flags.ts';
import { createTestGuest } from '../testing/guest.ts';
import { createMemoryPolicy } from './memory-policy.ts';
import type { Vtl1 } from './vtl1-port.ts';

const [READ, RW, RX, RWX] = [1, 3, 13, 15];
/** RAM of the partition: two parts, with a hole between them. */
const RAM = [
  { start: 0, end: 0x1000 },
  { start: 0x1800, end: 0x2000 },
] as const;

const policyOf = (mbec = true) => createMemoryPolicy(createHyperv({ mbec }).capabilities);

const range = (start: number, end: number, flags: number, immutable = false): ProtectionRange => ({
  start: start as Gfn,
  end: end as Gfn,
  rights: rightsOfFlags(flags) as Rights,
  immutable,
});

/** A hypervisor that gives the n-th call `status`, and succeeds otherwise; what it was asked for. */
function hypervisor(nth = -1, status: number = HvStatus.SUCCESS) {
  const calls: (readonly [start: number, pages: number, flags: number])[] = [];
  const vtl1: Pick<Vtl1, 'ram' | 'ramEnd' | 'protect'> = {
    ramEnd: 0x2000,
    ram: (start, end) =>
      RAM.flatMap((part) => {
        const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)] as [Gfn, Gfn];
        return from < to ? [{ start: from, end: to }] : [];
      }),
    protect(start, pages, flags) {
      calls.push([start, pages, flags]);
      const failed = calls.length - 1 === nth;
      return { status: failed ? status : HvStatus.SUCCESS, repsCompleted: failed ? 0 : pages };
    },
  };
  return { vtl1: vtl1 as Vtl1, calls };
}

describe('what VTL1 asks the hypervisor for', () => {
  test('is the memory of a range, 510 pages a call, and not the holes in it', () => {
    const { vtl1, calls } = hypervisor();
    expect(policyOf().protect(vtl1, [range(0xf00, 0x1b00, READ)])).toEqual({ applied: 1, weakened: [] });
    expect(calls).toEqual([
      [0xf00, 0x100, READ],
      [0x1800, 510, READ],
      [0x1800 + 510, 0x300 - 510, READ],
    ]);
  });

  test.each([
    ['no memory', HvStatus.INSUFFICIENT_MEMORY, 'no-memory'],
    ['anything else', HvStatus.ACCESS_DENIED, 'bad-request'],
    ['a parameter', HvStatus.INVALID_PARAMETER, 'bad-request'],
  ] as const)('ends where the hypervisor refuses for %s: what came before stays', (_, status, why) => {
    // The third call is the second one for the second range.
    const { vtl1, calls } = hypervisor(2, status);
    const policy = policyOf();
    const ranges = [range(0, 0x10, READ), range(0x100, 0x600, READ), range(0x700, 0x710, READ)];
    expect(policy.protect(vtl1, ranges)).toEqual({ applied: 1, weakened: [], refused: { at: 1, why } });
    expect(calls).toHaveLength(3);
    expect(policy.isData(0 as Gfn, 0x10 as Gfn)).toBe(false);
    expect(policy.isData(0x700 as Gfn, 0x710 as Gfn)).toBe(true);
    expect(policy.set(hypervisor(0, status).vtl1, 0x800 as Gfn, 0x810 as Gfn, READ)).toBe(status);
    expect(policy.isData(0x800 as Gfn, 0x810 as Gfn)).toBe(true);
  });

  test('is more than was wanted where the processor cannot tell the two kinds of execution apart, and says so', () => {
    const { vtl1, calls } = hypervisor();
    const wanted = range(0, 1, 9);
    expect(policyOf(false).protect(vtl1, [wanted])).toEqual({
      applied: 1,
      weakened: [{ range: wanted, granted: rightsOfFlags(RX) }],
    });
    expect(calls).toEqual([[0, 1, RX]]);
  });

  test.each([
    ['an empty range', range(5, 5, READ), 'empty'],
    ['a range from below zero', range(-1, 5, READ), 'not-memory'],
    ['a range beyond all addresses', range(0, FRAME_END + 1, READ), 'not-memory'],
    ['a hole', range(0x1000, 0x1800, READ), 'not-memory'],
    ['a range that ends behind the last memory', range(0x1f00, 0x2001, READ), 'not-memory'],
    ['pages that nothing could ever change', range(0, 1, READ, true), 'unsupported'],
  ] as const)('is nothing for %s', (_, asked, why) => {
    const { vtl1, calls } = hypervisor();
    expect(policyOf().protect(vtl1, [asked])).toEqual({ applied: 0, weakened: [], refused: { at: 0, why } });
    expect(calls).toEqual([]);
  });

  test('may begin or end in a hole, if memory lies behind', () => {
    const { vtl1, calls } = hypervisor();
    expect(policyOf().protect(vtl1, [range(0xfff, 0x1400, READ)]).applied).toBe(1);
    expect(policyOf().protect(vtl1, [range(0x1400, 0x1801, READ)]).applied).toBe(1);
    expect(policyOf().protect(vtl1, [range(0x1fff, 0x2000, READ, false)]).applied).toBe(1);
    expect(calls.map(([start]) => start)).toEqual([0xfff, 0x1800, 0x1fff]);
  });
});

describe('the account that VTL1 keeps', () => {
  test('has as data what it gave no rights to, and what it left writable', () => {
    const { vtl1 } = hypervisor();
    const policy = policyOf();
    expect(policy.isData(0 as Gfn, 0x1000 as Gfn)).toBe(true);
    for (const [at, flags] of [RW, RWX, READ, RX].entries()) {
      policy.set(vtl1, at as Gfn, (at + 1) as Gfn, flags);
    }
    const isData = (start: number, end: number) => policy.isData(start as Gfn, end as Gfn);
    expect([isData(0, 2), isData(2, 3), isData(3, 4), isData(0, 3), isData(4, 9)]).toEqual([
      true,
      false,
      false,
      false,
      true,
    ]);
    const other = policyOf();
    other.replace(policy.save());
    expect([other.isData(0 as Gfn, 2 as Gfn), other.isData(2 as Gfn, 3 as Gfn)]).toEqual([true, false]);
    policy.clear();
    expect(isData(0, 9)).toBe(true);
  });

  test('knows the frames of a module by any one of them, until they are freed', () => {
    const policy = policyOf();
    policy.claim(4 as Gfn, 8 as Gfn, true);
    const isClaimed = (start: number, end: number) => policy.isClaimed(start as Gfn, end as Gfn);
    expect([isClaimed(0, 4), isClaimed(0, 5), isClaimed(7, 9), isClaimed(8, 9)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    policy.claim(4 as Gfn, 6 as Gfn, false);
    expect([isClaimed(4, 6), isClaimed(4, 7)]).toEqual([false, true]);
    const other = policyOf();
    other.replace(policy.save());
    expect([other.isClaimed(4 as Gfn, 6 as Gfn), other.isClaimed(6 as Gfn, 7 as Gfn)]).toEqual([false, true]);
    policy.clear();
    expect(isClaimed(0, 9)).toBe(false);
  });
});

test('VTL0 is told that there is no memory for tables, and what it asked for is not said to be protected', () => {
  const guest = createTestGuest();
  const ask = () => guest.callWith(LvbsFunction.PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ]);
  const taken = [];
  for (let frame = guest.frames.allocate(); frame !== undefined; frame = guest.frames.allocate()) {
    taken.push(frame);
  }
  expect(ask()).toBe(-12);
  expect(guest.store(0x20_0000)).toBe(true);
  for (const frame of taken) guest.frames.free(frame);
  expect(ask()).toBe(0);
  expect(guest.store(0x20_0000)).toBe(false);
});
