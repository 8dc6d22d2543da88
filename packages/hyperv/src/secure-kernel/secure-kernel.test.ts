import {
  encodeHvControl,
  encodeHvModifyProtection,
  HV_PARTITION_SELF,
  HvCall,
  LvbsFunction,
} from '@heki/hypercall/hyperv';
import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createTestGuest, type TestGuest } from '../testing/guest.ts';

const { LOCK_REGS, PROTECT_MEMORY, SIGNAL_END_OF_BOOT } = LvbsFunction;
const READ = 1;
const TEXT = 5;
const LSTAR = 0xc000_0082;

const denials = (guest: TestGuest) => guest.events.filter((event) => event.type === 'denied');
const rights = (guest: TestGuest, gfn: number) => {
  const effective = guest.vm.effectiveRights(gfn as Gfn);
  return (
    effective &&
    [effective.read, effective.write, effective.supervisorExecute, effective.userExecute].map(Number).join('')
  );
};

test('a denied store wakes VTL1 with a message, and VTL0 gets #GP(0)', () => {
  const guest = createTestGuest();
  expect(guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, TEXT])).toBe(0);
  guest.events.length = 0;
  expect(guest.vcpu.store(guest.va(0x20_0008), 8, 1n)).toMatchObject({
    kind: 'exception',
    vector: 13,
    errorCode: 0,
  });
  expect(guest.events.map(({ type }) => type)).toEqual([
    'intercept-message',
    'vtl-entered',
    'denied',
    'hypercall',
    'vtl-returned',
  ]);
  expect(guest.events[0]).toMatchObject({
    message: { type: 'gpa', access: 1, gpa: 0x20_0008n, final: true },
  });
  expect(denials(guest)).toMatchObject([{ denial: { kind: 'memory', gpa: 0x20_0008, access: 'write' } }]);
  expect(guest.vm.activeVtl(guest.vcpu)).toBe(0);
  expect(guest.byte(0x20_0008)).toBe(0);
});

test('after the end of boot VTL0 gets nothing protected or loaded, and cannot end boot twice', () => {
  const guest = createTestGuest();
  expect(guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ])).toBe(0);
  expect(guest.call(SIGNAL_END_OF_BOOT)).toBe(0);
  expect(guest.vm.secureKernel.endOfBoot).toBe(true);
  expect(guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, 7])).toBe(-1);
  expect(guest.callWith(LvbsFunction.LOAD_KDATA, [0x7_0000, 0x7_1000, 8])).toBe(-1);
  expect(guest.call(SIGNAL_END_OF_BOOT)).toBe(-1);
  expect(rights(guest, 0x200)).toBe('1001');
});

test('a saved partition tells that boot has ended, and the one that it is restored into keeps to it', () => {
  const guest = createTestGuest();
  expect(guest.vm.save()).not.toHaveProperty('bootEnded');
  expect(guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ])).toBe(0);
  expect(guest.call(SIGNAL_END_OF_BOOT)).toBe(0);
  const state = guest.vm.save();
  const other = createTestGuest();
  expect(state && other.vm.restore(state)).toBe(true);
  expect(other.vm.secureKernel.endOfBoot).toBe(true);
  expect(other.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, 7])).toBe(-1);
  expect(rights(other, 0x200)).toBe('1001');
});

test('what VTL1 promised it can break: the hypervisor obeys it after the end of boot as before', () => {
  const guest = createTestGuest();
  guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ]);
  guest.call(SIGNAL_END_OF_BOOT);
  expect(guest.store(0x20_0000)).toBe(false);
  guest.vm.vtl1Hypercall(
    guest.vcpu,
    encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: 1 }),
    encodeHvModifyProtection({
      partition: HV_PARTITION_SELF,
      flags: 15,
      targetVtl: undefined,
      pages: [0x200],
    }),
  );
  expect(guest.store(0x20_0000)).toBe(true);
});

test('locked registers keep their exact value, and bits that a running kernel changes stay free', () => {
  const guest = createTestGuest();
  const { vcpu } = guest;
  vcpu.wrmsr(LSTAR, 0xffff_ffff_8100_0000n);
  expect(guest.call(LOCK_REGS)).toBe(0);
  const { cr0, cr4 } = vcpu.registers;
  const refused = { kind: 'exception', vector: 13, errorCode: 0 };
  expect(vcpu.movToCr(0, cr0 & ~0x1_0000n)).toMatchObject(refused);
  // SMEP is clear, and exact: neither may it be set.
  expect(vcpu.movToCr(4, cr4 | (1n << 20n))).toMatchObject(refused);
  expect(vcpu.wrmsr(LSTAR, 0xffff_ffff_8200_0000n)).toMatchObject(refused);
  expect(vcpu.lidt(guest.va(0x5000), 0xfff)).toMatchObject(refused);
  expect(vcpu.lgdt(guest.va(0x5000), 0x7f)).toMatchObject(refused);
  expect(
    denials(guest).map((event) =>
      event.type === 'denied' && event.denial.kind === 'register' ? event.denial.register : '',
    ),
  ).toEqual(['cr0', 'cr4', 'msr c0000082', 'idtr', 'gdtr']);
  expect(vcpu.wrmsr(LSTAR, 0xffff_ffff_8100_0000n).kind).toBe('done');
  for (const free of [6n, 7n, 8n])
    expect(vcpu.movToCr(4, vcpu.registers.cr4 ^ (1n << free)).kind).toBe('done');
  expect(vcpu.movToCr(0, cr0 ^ 8n).kind).toBe('done');
  expect(vcpu.wrmsr(0xc000_0100, 5n).kind).toBe('done');
});

test('locking again changes no value that is locked, and names no register twice', () => {
  const guest = createTestGuest();
  const { vcpu } = guest;
  vcpu.wrmsr(LSTAR, 0xffff_ffff_8100_0000n);
  expect(guest.call(LOCK_REGS)).toBe(0);
  const first = guest.vm.save();
  expect(guest.call(LOCK_REGS)).toBe(0);
  expect(guest.vm.save()).toEqual(first);
  expect(new Set(first?.registers?.map((register) => JSON.stringify(register))).size).toBe(
    first?.registers?.length,
  );
});

test('a denial tells the linear address of what was accessed', () => {
  const guest = createTestGuest();
  guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ]);
  guest.store(0x20_0010);
  expect(denials(guest)).toMatchObject([
    { denial: { gpa: 0x20_0010, linear: guest.va(0x20_0010), access: 'write' } },
  ]);
});

test('INIT lets a processor load its tables once, and not turn paging on without WP', () => {
  const guest = createTestGuest({}, 2);
  const second = guest.vm.vcpus[1];
  if (second === undefined) throw new TypeError('two virtual CPUs');
  guest.call(LOCK_REGS);
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  expect(second.movToCr(0, 0x11n).kind).toBe('done');
  expect(second.movToCr(4, 0x20n).kind).toBe('done');
  expect(second.movToCr(3, 0x1000n).kind).toBe('done');
  expect(second.wrmsr(0xc000_0080, 0x901n).kind).toBe('done');
  expect(second.movToCr(0, 0x8000_0011n)).toMatchObject({ kind: 'exception', vector: 13 });
  expect(second.movToCr(0, 0x8001_0011n).kind).toBe('done');
  expect(second.movToCr(0, 0x8000_0011n)).toMatchObject({ kind: 'exception', vector: 13 });
});

test('INIT frees no processor of the MSRs that are locked, since they stay as they were', () => {
  const guest = createTestGuest({}, 2);
  const second = guest.vm.vcpus[1];
  if (second === undefined) throw new TypeError('two virtual CPUs');
  const msrs = [0x174, 0x175, 0x176, 0xc000_0081, LSTAR, 0xc000_0083, 0xc000_0084];
  for (const msr of msrs) expect(second.wrmsr(msr, 0x1000n + BigInt(msr % 256)).kind).toBe('done');
  guest.call(LOCK_REGS);
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  for (const msr of msrs) {
    const value = 0x1000n + BigInt(msr % 256);
    expect(second.rdmsr(msr)).toMatchObject({ kind: 'done', value });
    expect(second.wrmsr(msr, value + 1n)).toMatchObject({ kind: 'exception', vector: 13 });
    expect(second.wrmsr(msr, value).kind).toBe('done');
    expect(second.wrmsr(msr, value + 1n)).toMatchObject({ kind: 'exception', vector: 13 });
  }
  // EFER is 0 after INIT: the trampoline may bring it back.
  expect(second.rdmsr(0xc000_0080)).toMatchObject({ value: 0n });
  expect(second.wrmsr(0xc000_0080, 0x901n).kind).toBe('done');
});

test('an allowed value that the processor itself refuses is #GP as ever', () => {
  const guest = createTestGuest();
  guest.vm.pin({ registers: [{ msr: LSTAR }] });
  guest.vm.lifeCycle({ kind: 'reset' });
  guest.vm.pin({ cr0: 0x1_0000n });
  // NW without CD: the locked bit is as it was, so that VTL1 is not asked, or agrees.
  expect(guest.vcpu.movToCr(0, guest.vcpu.registers.cr0 ^ 0x2001_0000n)).toMatchObject({
    kind: 'exception',
    vector: 13,
  });
});

test('VTL1 answers functions that it does not have', () => {
  const guest = createTestGuest();
  expect(guest.call(0x1_fff0)).toBe(-38);
  expect(guest.call(LvbsFunction.COPY_SECONDARY_KEY)).toBe(-38);
  expect(guest.call(LvbsFunction.ENABLE_APS)).toBe(0);
});

test('a device passes the protection unless the IOMMU keeps it', () => {
  for (const iommuPolicy of [false, true]) {
    const guest = createTestGuest({ iommuPolicy });
    guest.callWith(PROTECT_MEMORY, [0x20_0000, 0x20_1000, READ]);
    expect(guest.vm.write('dma', 0x20_0000 as never, Uint8Array.of(1)).ok).toBe(!iommuPolicy);
  }
});
