import { INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, poke } from '../testing/guest.ts';

const DONE = { kind: 'done', value: undefined };
const raised = (vector: number, errorCode = 0) => ({ kind: 'exception', vector, errorCode, fixedUp: false });
const LSTAR = 0xc000_0082;
const EFER = 0xc000_0080;
const NXE = 1n << 11n;

test('an MSR that exits is read and written by the rules of the processor, and RIP moves only when it was', () => {
  const { cpu, vm } = createGuest();
  Object.assign(cpu.controls, { readExitingMsrs: 'all', writeExitingMsrs: 'all' });
  const { rip } = cpu.registers;
  const address = 0xffff_ffff_8110_0000n;
  expect(cpu.wrmsr(LSTAR, address)).toEqual(DONE);
  expect(cpu.registers.rip).toBe(rip + 2n);
  Object.assign(cpu.registers, { rax: ~0n & 0xffff_ffff_ffff_ffffn, rdx: 7n });
  expect(cpu.rdmsr(LSTAR)).toEqual({ kind: 'done', value: address });
  expect(cpu.registers).toMatchObject({ rax: 0x8110_0000n, rdx: 0xffff_ffffn, rip: rip + 4n });
  expect(cpu.emulateRdmsr(LSTAR)).toBe(address);
  expect(cpu.rdmsr(EFER)).toEqual({ kind: 'done', value: cpu.registers.efer });
  // What the processor does not have or does not take.
  expect(cpu.rdmsr(0x1234)).toEqual(raised(13));
  expect(cpu.wrmsr(0x1234, 0n)).toEqual(raised(13));
  expect(cpu.wrmsr(LSTAR, 1n << 60n)).toEqual(raised(13));
  expect(cpu.wrmsr(EFER, 1n << 40n)).toEqual(raised(13));
  expect(cpu.registers.rip).toBe(rip + 6n);
  expect(cpu.emulateRdmsr(LSTAR)).toBe(address);
  expect(vm.statistics).toMatchObject({ exits: 7, faults: 0 });
});

test('EFER.NXE that a hypervisor writes for the guest counts at once for what was cached', () => {
  const guest = createGuest();
  const { cpu } = guest;
  // The leaf for all of the direct map, not executable.
  poke(guest, 0x41 * 4096, [(1n << 63n) | 0xe3n]);
  cpu.controls.writeExitingMsrs = new Set([EFER]);
  const { efer } = cpu.registers;
  expect(cpu.fetch(kernelVa(0))).toMatchObject({ vector: 14, errorCode: 0x11 });
  expect(cpu.wrmsr(EFER, efer & ~NXE)).toEqual(DONE);
  // Bit 63 is reserved then.
  expect(cpu.load(kernelVa(0), 8)).toMatchObject({ vector: 14, errorCode: 9 });
  expect(cpu.wrmsr(EFER, efer)).toEqual(DONE);
  expect(cpu.load(kernelVa(0), 8)).toMatchObject({ kind: 'done' });
});

test('instructions of a hypervisor are undefined, before any VMXON', () => {
  const { cpu, vm } = createGuest();
  for (const instruction of ['vmread', 'vmwrite', 'vmlaunch', 'invept'] as const) {
    expect(cpu.vmx(instruction)).toEqual(raised(6));
  }
  cpu.controls.vmfunc = true;
  expect(cpu.vmfunc()).toEqual(raised(6));
  expect(vm.statistics.exits).toBe(5);
});

test('a descriptor table that exits is loaded with the checks of the instruction', () => {
  const guest = createGuest();
  const { cpu } = guest;
  cpu.controls.descriptorTableExiting = true;
  poke(guest, 0x20_0040, [0x8900_0000_0067n, 0n, 0x0900_0000_0067n, 0n]);
  expect(cpu.lgdt(kernelVa(0x20_0000), 0x7f)).toEqual(DONE);
  expect(cpu.lidt(kernelVa(0x20_1000), 0xfff)).toEqual(DONE);
  expect(cpu.registers).toMatchObject({
    gdtr: { base: kernelVa(0x20_0000), limit: 0x7f },
    idtr: { base: kernelVa(0x20_1000), limit: 0xfff },
  });
  cpu.registers.idtr = undefined;
  expect(cpu.store(kernelVa(0x20_0000), 1, 0n)).toEqual(DONE);
  expect(cpu.ltr(0x40)).toEqual(DONE);
  expect(cpu.ltr(0x40)).toEqual(raised(13, 0x40));
  expect(cpu.ltr(0x50)).toEqual(raised(11, 0x50));
  expect(cpu.lldt(0)).toEqual(DONE);
  expect(cpu.lgdt(0x100_0000_0000_0000n as never, 0x7f)).toEqual(raised(13));
});

test('MOV to CR3 that exits is carried out, and refused as the processor refuses it', () => {
  const { cpu } = createGuest();
  cpu.controls.cr3LoadExiting = true;
  const { cr3 } = cpu.registers;
  expect(cpu.movToCr(3, cr3 | 8n)).toEqual(DONE);
  expect(cpu.registers.cr3).toBe(cr3 | 8n);
  expect(cpu.movToCr(3, 1n << BigInt(INTEL_VT_RP.maxPhysicalAddressBits))).toEqual(raised(13));
  expect(cpu.registers.cr3).toBe(cr3 | 8n);
});

test('a triple fault ends in KVM_EXIT_SHUTDOWN, and is counted as any exit', () => {
  const { cpu, vm } = createGuest();
  cpu.registers.idtr = { base: 0x7000_0000n as never, limit: 0xfff };
  cpu.load(kernelVa(0), 8);
  const before = vm.statistics.exits;
  expect(cpu.load(0x7000_0000n as never, 8)).toEqual({ kind: 'triple-fault' });
  expect(vm.statistics.exits).toBe(before + 1);
});
