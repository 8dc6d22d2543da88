import type { Gpa } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import { AMD_ZEN4, CR0 } from '@heki/x86';
import { expect, test } from 'vitest';
import type { SecondLevelFault, VmExit } from './exit.ts';
import type { ExitAction } from './exit-action.ts';
import { machine, PTE, va } from './testing/machine.ts';
import { ALL, ListedSecondLevel } from './testing/second-level.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const RW = PTE.P | PTE.W;

/** A kernel with one page, guest frame 200, behind a second level that maps all other memory. */
function virtualized(answer: (exit: VmExit, secondLevel: ListedSecondLevel) => ExitAction): {
  cpu: ReturnType<typeof machine>['cpu'];
  secondLevel: ListedSecondLevel;
  exits: VmExit[];
  memory: ReturnType<typeof machine>['memory'];
} {
  const exits: VmExit[] = [];
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  const { cpu, tables, memory } = machine({
    secondLevel,
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return answer(exit, secondLevel);
    },
  });
  tables.map(KERNEL, 200, RW);
  return { cpu, secondLevel, exits, memory };
}

test('a page that the second level lacks exits with linear and guest-physical address, and is loaded after it was mapped', () => {
  const { cpu, exits } = virtualized((_exit, secondLevel) => {
    secondLevel.map(200, 1, ALL, 1000);
    return { kind: 'resume' };
  });
  const gla = va(KERNEL + 0x18n);
  expect(cpu.load(gla, 8)).toEqual({ kind: 'done', value: 0n });
  expect(exits).toEqual([{ reason: 'ept-violation', qualification: 0x181, gpa: 200 * 4096 + 0x18, gla }]);
});

test('a store lands in the host frame that the second level names', () => {
  const { cpu, memory, secondLevel } = virtualized(() => ({ kind: 'stop', why: 'unexpected' }));
  secondLevel.map(200, 1, ALL, 1000);
  cpu.store(KERNEL, 8, 0x1234n);
  expect(memory.page(1200 as never)?.[0]).toBe(0x1234);
});

test('an injected #PF is delivered before the instruction is tried again, with CR2 written and RIP unmoved', () => {
  const seen: unknown[] = [];
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  secondLevel.map(200, 1, { read: true });
  const { cpu, tables } = machine({
    secondLevel,
    onExit: (_vcpu, exit) => ({
      kind: 'inject',
      exception: {
        vector: 14,
        errorCode: 3,
        ...(exit.reason === 'ept-violation' && exit.gla !== undefined ? { cr2: exit.gla } : {}),
      },
    }),
    onException: (vcpu, exception) => {
      seen.push({ ...exception, rip: vcpu.registers.rip, cr2: vcpu.registers.cr2 });
      return 'fixup';
    },
  });
  tables.map(KERNEL, 200, RW);
  const { rip } = cpu.registers;
  const expected = { vector: 14, errorCode: 3, cr2: KERNEL };
  expect(cpu.store(KERNEL, 8, 1n)).toEqual({ kind: 'exception', ...expected, fixedUp: true });
  expect(seen).toEqual([{ ...expected, rip }]);
  expect(cpu.registers.rip).toBe(rip);
});

test('an emulated load gives the value that the hypervisor read', () => {
  const { cpu } = virtualized(() => ({ kind: 'skip', value: 0x1_2345_6789n }));
  const { rip } = cpu.registers;
  expect(cpu.load(KERNEL, 4)).toEqual({ kind: 'done', value: 0x2345_6789n });
  expect(cpu.registers.rip).toBe(rip + 3n);
  expect(cpu.fetch(KERNEL, 2)).toEqual({ kind: 'done', value: Uint8Array.of(0x89, 0x67) });
  expect(cpu.registers.rip).toBe(KERNEL + 2n);
});

test('after the VMM stopped it a virtual CPU executes nothing until it is reset', () => {
  const { cpu } = virtualized(() => ({ kind: 'stop', why: 'KVM_EXIT_INTERNAL_ERROR' }));
  const stopped = { kind: 'stopped', why: 'KVM_EXIT_INTERNAL_ERROR' };
  expect(cpu.load(KERNEL, 8)).toEqual(stopped);
  expect(cpu.movFromCr(0)).toEqual(stopped);
  expect(cpu.halted).toEqual(stopped);
  cpu.reset();
  expect(cpu.registers).toMatchObject({ rip: 0xffff_fff0n, cpl: 0, cr0: CR0.CD | CR0.NW | CR0.ET });
  expect(cpu.movFromCr(0)).toMatchObject({ kind: 'done' });
});

test('without a hypervisor every exit stops the virtual CPU', () => {
  const { cpu } = machine();
  expect(cpu.vmcall()).toEqual({ kind: 'stopped', why: 'no backend answers the exit hypercall' });
});

test('a hypercall exits with the registers as the guest set them, at any CPL', () => {
  const { cpu } = machine({
    changes: { cpl: 3, rax: 14n, rbx: 0x7000n },
    onExit: (vcpu, exit) => {
      expect(exit).toEqual({ reason: 'hypercall' });
      vcpu.registers.rax = vcpu.registers.cpl === 0 ? vcpu.registers.rbx : -1n & 0xffff_ffff_ffff_ffffn;
      return { kind: 'skip' };
    },
  });
  expect(cpu.vmcall()).toEqual({ kind: 'done', value: undefined });
  expect(cpu.registers.rax).toBe(0xffff_ffff_ffff_ffffn);
  cpu.controls.hypercallExiting = false;
  expect(cpu.vmcall()).toMatchObject({ kind: 'exception', vector: 6 });
});

test('descriptor-table instructions and MOV to CR3 exit when the hypervisor asks for it', () => {
  const exits: VmExit[] = [];
  const { cpu } = machine({
    controls: { descriptorTableExiting: true, cr3LoadExiting: true },
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'skip' };
    },
  });
  const before = { ...cpu.registers };
  cpu.lgdt(KERNEL, 0x7f);
  cpu.lidt(KERNEL, 0xfff);
  cpu.lldt(0x28);
  cpu.ltr(0x40);
  cpu.movToCr(3, 0x5000n);
  expect(exits).toEqual([
    { reason: 'descriptor-table', register: 'gdtr', value: KERNEL, limit: 0x7f },
    { reason: 'descriptor-table', register: 'idtr', value: KERNEL, limit: 0xfff },
    { reason: 'descriptor-table', register: 'ldtr', value: 0x28n },
    { reason: 'descriptor-table', register: 'tr', value: 0x40n },
    { reason: 'mov-to-cr', cr: 3, value: 0x5000n },
  ]);
  expect(cpu.registers.gdtr).toEqual(before.gdtr);
});

test('nested page faults and misconfigurations exit with what the second level said', () => {
  const faults: SecondLevelFault[] = [
    { kind: 'nested-page-fault', info1: 0x1_0000_0007n, gpa: 0x5000 as Gpa },
    { kind: 'ept-misconfiguration', gpa: 0x6000 as Gpa },
  ];
  const exits: VmExit[] = [];
  let fault: SecondLevelFault | undefined;
  const secondLevel: SecondLevel<SecondLevelFault> = {
    translate: () => REFUSED,
    get fault() {
      return fault;
    },
    level: 1,
    rights: 0,
  };
  const { cpu } = machine({
    processor: AMD_ZEN4,
    secondLevel,
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'skip' };
    },
  });
  for (const each of faults) {
    fault = each;
    cpu.load(KERNEL, 8);
  }
  expect(exits).toEqual([
    { reason: 'nested-page-fault', info1: 0x1_0000_0007n, gpa: 0x5000 },
    { reason: 'ept-misconfiguration', gpa: 0x6000 },
  ]);
  fault = { kind: 'absent-table', gpa: 0x6000 as Gpa, table: 77 as never };
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'absent-table', entry: 77 * 4096 });
});

test('a convertible violation becomes #VE when the control is on and the information page is free', () => {
  let free = true;
  const converted: VmExit[] = [];
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  secondLevel.convertible = true;
  const { cpu, tables } = machine({
    secondLevel,
    controls: { virtualizationExceptions: true },
    onVirtualizationException: (_vcpu, violation) => {
      if (free) converted.push(violation);
      return free;
    },
    onException: (_vcpu, { vector }) => {
      if (vector === 20) secondLevel.map(200, 1);
      return 'retry';
    },
    onExit: (_vcpu, exit) => ({ kind: 'stop', why: exit.reason }),
  });
  tables.map(KERNEL, 200, RW);
  expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
  expect(converted).toEqual([
    { reason: 'ept-violation', qualification: 0x181, gpa: 200 * 4096, gla: KERNEL },
  ]);
  free = false;
  tables.map(KERNEL, 201, RW);
  cpu.invlpg(KERNEL);
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'stopped', why: 'ept-violation' });
});

test('VMFUNC is carried out where it is enabled, exits where the function refuses, and is #UD elsewhere', () => {
  const asked: [number, number][] = [];
  const { cpu } = machine({
    onVmfunc: (_vcpu, leaf, index) => {
      asked.push([leaf, index]);
      return index < 2;
    },
    onExit: (_vcpu, exit) => ({ kind: 'stop', why: JSON.stringify(exit) }),
  });
  cpu.registers.rcx = 1n;
  expect(cpu.vmfunc()).toMatchObject({ kind: 'exception', vector: 6 });
  cpu.controls.vmfunc = true;
  expect(cpu.vmfunc()).toMatchObject({ kind: 'done' });
  cpu.registers.rcx = 2n;
  expect(cpu.vmfunc()).toEqual({ kind: 'stopped', why: '{"reason":"vmfunc","leaf":0,"index":2}' });
  expect(asked).toEqual([
    [0, 1],
    [0, 2],
  ]);
});

test('guest instructions cannot execute while the hypervisor answers an exit', () => {
  const { cpu } = machine({
    onExit: (vcpu) => {
      vcpu.load(KERNEL, 8);
      return { kind: 'resume' };
    },
  });
  expect(() => cpu.vmcall()).toThrow(/virtual CPU 0: an instruction cannot execute before/);
  expect(() => machine({ id: -1 })).toThrow(/id -1 of a virtual CPU/);
});
