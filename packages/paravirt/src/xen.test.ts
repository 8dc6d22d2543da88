import { gpa } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { HekiPort } from './kvm.ts';
import { initHekiOnXen, type XenDriverVcpu } from './xen.ts';

function fakeVcpu(answer: (rbx: bigint) => bigint | undefined) {
  const calls: string[] = [];
  const registers = { rax: 1n, rbx: 2n, rcx: 3n, rdx: 4n, rsi: 5n, rdi: 6n, cr4: 0x300020n };
  const vcpu: XenDriverVcpu = {
    registers,
    interruptContext: true,
    vmcall() {
      const { rax, rdi, rbx, rcx, rdx } = registers;
      calls.push([rax, rdi, rbx & 0xffn, rcx, rdx].map((value) => value.toString(16)).join(' '));
      const result = answer(rbx & 0xffn);
      if (result === undefined) return { kind: 'stopped', why: 'gone' };
      registers.rax = BigInt.asUintN(64, result);
      return { kind: 'done', value: undefined };
    },
  };
  return { vcpu, calls, registers };
}

test('the driver asks the monitor by GUEST_REQUEST and leaves the registers as they were', () => {
  const warnings: string[] = [];
  const { vcpu, calls, registers } = fakeVcpu((rbx) => (rbx === 0n ? 1n : rbx === 1n ? -22n : 0n));
  const before = { ...registers };
  const guest: HekiPort = { hypervisor: undefined };
  expect(initHekiOnXen(guest, { vcpu: () => vcpu, onWarning: (text) => warnings.push(text) })).toBe(true);
  expect(guest.hypervisor?.lockCrs()).toBe(0);
  expect(guest.hypervisor?.protectMemory(gpa(0x5000))).toBe(-22);
  expect(guest.hypervisor?.protectMemory(gpa(0x6000))).toBe(-22);
  expect(registers).toEqual(before);
  expect(calls).toEqual([
    '22 18 0 0 0',
    '22 18 2 0 10000',
    '22 18 2 4 300000',
    '22 18 1 5000 0',
    '22 18 1 6000 0',
  ]);
  expect(warnings).toHaveLength(1);
});

test('without a monitor there is no Heki', () => {
  for (const answer of [-38n, 0n, undefined]) {
    const guest: HekiPort = { hypervisor: undefined };
    expect(initHekiOnXen(guest, { vcpu: () => fakeVcpu(() => answer).vcpu })).toBe(false);
    expect(guest.hypervisor).toBeUndefined();
  }
});
