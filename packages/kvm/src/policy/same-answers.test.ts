import type { Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KvmEvent } from '../event.ts';
import { createGuest, createGuestOn, kernelVa, LIST_FRAME, poke, type TestGuest } from '../testing/guest.ts';
import { createKvmVmm } from './kvm-vmm.ts';
import { createKvmVtl } from './kvm-vtl.ts';

/** What a guest does: mostly sensible lists, some broken ones, pins, and attempts at what may be forbidden. */
type Step =
  | { readonly do: 'list'; readonly count: number; readonly next: bigint; readonly words: readonly bigint[] }
  | { readonly do: 'call'; readonly number: number; readonly args: readonly [bigint, bigint, bigint] }
  | { readonly do: 'store' | 'fetch'; readonly frame: number }
  | { readonly do: 'register'; readonly cr: 0 | 4; readonly bit: bigint };

const FRAMES = [0x1fe, 0x1ff, 0x200, 0x201, 0x3ff, 0x400, 0x401, 0x5ff, 0x600];
const LIST = LIST_FRAME * 4096;

const frame = fc.constantFrom(...FRAMES);
const entry = fc
  .tuple(
    frame,
    fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 0x210 }) },
      fc.integer({ min: -2, max: 0x8000 }),
    ),
    fc.oneof({ weight: 8, arbitrary: fc.constantFrom(1, 3, 5, 7, 9, 13) }, fc.integer({ min: 0, max: 20 })),
    fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.constantFrom(8, 0x800)),
  )
  .map(([start, length, permissions, offset]) => [
    BigInt(start * 4096 + offset),
    BigInt((start + length) * 4096),
    BigInt(permissions),
  ]);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(entry, { maxLength: 4 }).chain((entries) =>
      fc.record({
        do: fc.constant('list' as const),
        count: fc.oneof(
          { weight: 12, arbitrary: fc.constant(entries.length) },
          fc.constantFrom(170, 2 ** 31),
        ),
        next: fc.oneof(
          { weight: 12, arbitrary: fc.constant(0n) },
          fc.constantFrom(BigInt(LIST), 9n, 1n << 40n),
        ),
        words: fc.constant(entries.flat()),
      }),
    ),
  },
  fc.record({
    do: fc.constant('call' as const),
    number: fc.constantFrom(13, 13, 13, 14, 9, 77, 0x56544c01),
    args: fc.tuple(
      fc.constantFrom(0n, 4n, 3n, 1n << 33n),
      fc.constantFrom(CR0.WP, CR4.SMEP, CR4.SMAP | CR4.UMIP, CR4.CET, 0n, CR4.PAE),
      fc.constantFrom(0n, 0n, 0n, 1n, 2n),
    ),
  }),
  fc.record({ do: fc.constantFrom('store' as const, 'fetch' as const), frame }),
  fc.record({
    do: fc.constant('register' as const),
    cr: fc.constantFrom(0 as const, 4 as const),
    bit: fc.constantFrom(CR0.WP, CR4.SMEP, CR4.SMAP, CR4.UMIP, CR4.TSD),
  }),
);

/** Takes the step. What the guest notices of it. */
function take(guest: TestGuest<VirtualMachine>, action: Step): string {
  const { cpu } = guest;
  switch (action.do) {
    case 'list':
      poke(guest, LIST, [0n, action.next, BigInt(action.count), ...action.words]);
      return String(guest.hypercall(14, LIST));
    case 'call':
      return String(guest.hypercall(action.number, ...action.args));
    case 'store':
      return cpu.store(kernelVa(action.frame * 4096 + 8), 8, 1n).kind;
    case 'fetch':
      return cpu.fetch(kernelVa(action.frame * 4096)).kind;
    case 'register': {
      const old = action.cr === 0 ? cpu.registers.cr0 : cpu.registers.cr4;
      return cpu.movToCr(action.cr, old ^ action.bit).kind;
    }
  }
}

test.each([true, false])(
  'whoever owns the policy, the same calls get the same answers and rights, but for memory without a request (MBEC: %s)',
  (mbec) => {
    const others: readonly Hypervisor<VirtualMachine, KvmEvent>[] = [
      createKvmVmm({ mbec }),
      createKvmVtl({ mbec }),
    ];
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 24 }), (steps) => {
        const kernel = createGuest({ mbec });
        const guests = others.map((hypervisor) => createGuestOn(hypervisor));
        const spoken = (gfn: number): boolean => kernel.vm.attributes.get(gfn as Gfn) !== 0;
        for (const action of steps) {
          const expected = take(kernel, action);
          for (const guest of guests) {
            const got = take(guest, action);
            if (action.do !== 'fetch' || spoken(action.frame)) expect(got).toBe(expected);
          }
        }
        for (const gfn of FRAMES) {
          const wanted = kernel.vm.effectiveRights(gfn as Gfn);
          for (const { vm } of guests) {
            const got = vm.effectiveRights(gfn as Gfn);
            expect(got?.write).toBe(wanted?.write);
            if (spoken(gfn)) expect(got?.supervisorExecute).toBe(wanted?.supervisorExecute);
          }
        }
      }),
      { numRuns: 100 },
    );
  },
);
