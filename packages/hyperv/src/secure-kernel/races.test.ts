import { LvbsFunction } from '@heki/hypercall/hyperv';
import { VcpuWaits } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { HypervOptions } from '../options.ts';
import { createTestGuest } from '../testing/guest.ts';
import { vtlCall } from '../testing/vtl-call.ts';

const { PROTECT_MEMORY, VALIDATE_MODULE, KEXEC_VALIDATE } = LvbsFunction;
const TEXT = 0x50_0000;
const SIGNED = new Uint8Array(4096).fill(0x90);
const CHANGED = 0xcc;

/**
 * Has VTL1 look at a page of code while another processor stores to it at one moment, or from one on, for each of them. What became executable without
 * being what somebody signed, as `moment: byte`.
 */
function holes(call: 'module' | 'kexec', options: HypervOptions, cached: boolean): string[] {
  const found: string[] = [];
  let moments = 1;
  for (const onwards of [false, true]) {
    for (let from = 0; from < moments; from++) {
      let moment = -1;
      let taken = true;
      const guest = createTestGuest(options, 2, () => {
        if (taken) return;
        moment++;
        if (onwards ? moment < from : moment !== from) return;
        taken = true;
        guest.vm.vcpus[1]?.store(guest.va(TEXT + 0x100), 1, BigInt(CHANGED));
        taken = false;
      });
      guest.callWith(PROTECT_MEMORY, [0, 0x100_0000, 3]);
      const section = { kind: 0, bytes: SIGNED, sites: [] };
      guest.vm.secureKernel.trustModule({ name: 'good', sections: [section] });
      guest.vm.secureKernel.trustKexecImage({ name: 'next', bytes: SIGNED });
      guest.put(TEXT, SIGNED);
      if (cached) guest.vm.vcpus[1]?.store(guest.va(TEXT + 0x100), 1, 0x90n);
      taken = false;
      guest.callWith(call === 'module' ? VALIDATE_MODULE : KEXEC_VALIDATE, [TEXT, TEXT + 0x1000, 0]);
      taken = true;
      moments = Math.max(moments, moment + 1);
      const rights = guest.vm.effectiveRights((TEXT / 4096) as Gfn);
      const byte = guest.byte(TEXT + 0x100);
      if (rights?.supervisorExecute === true && byte !== 0x90) found.push(`${from}: 0x${byte.toString(16)}`);
    }
  }
  expect(moments).toBeGreaterThan(5);
  return found;
}

test.each([
  ['module', true],
  ['module', false],
  ['kexec', true],
  ['kexec', false],
] as const)(
  'B-L6: at no moment of its look at a %s does VTL1 let another processor in (a translation is cached: %j)',
  (call, cached) => {
    expect(holes(call, {}, cached)).toEqual([]);
    expect(holes(call, { defects: { 'B-L6': true } }, cached).length).toBeGreaterThan(0);
  },
);

test('VTL1 takes one call at a time: another processor waits', () => {
  const waits: unknown[] = [];
  const guest = createTestGuest({}, 2, () => {
    const [, second] = guest.vm.vcpus;
    if (second === undefined || waits.length > 0) return;
    try {
      vtlCall(second, PROTECT_MEMORY, 0n, 0n);
    } catch (stop) {
      waits.push(stop);
    }
  });
  guest.callWith(PROTECT_MEMORY, [0, 0x100_0000, 3]);
  expect(waits[0]).toBeInstanceOf(VcpuWaits);
});

test('in the middle of a call nothing is saved, and what replaces everything waits', () => {
  const state = createTestGuest({}, 2).vm.save();
  if (state === undefined) throw new Error('a partition at rest is saved');
  const states: unknown[] = [];
  const waits: unknown[] = [];
  const guest = createTestGuest({}, 2, () => {
    states.push(guest.vm.save());
    for (const replace of [
      () => guest.vm.restore(state),
      () => guest.vm.lifeCycle({ kind: 'init', vcpu: 0 }),
      () => guest.vm.lifeCycle({ kind: 'reset' }),
    ]) {
      try {
        replace();
      } catch (stop) {
        waits.push(stop);
      }
    }
  });
  guest.callWith(PROTECT_MEMORY, [0, 0x100_0000, 3]);
  expect(states.length).toBeGreaterThan(2);
  expect(new Set(states)).toEqual(new Set([undefined]));
  expect(waits).toHaveLength(3 * states.length);
  expect(waits.every((stop) => stop instanceof VcpuWaits)).toBe(true);
  expect(guest.vm.effectiveRights((TEXT / 4096) as Gfn)?.supervisorExecute).toBe(false);
});
