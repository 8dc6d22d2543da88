import type { Gfn, Gpa, Pfn, VirtualAddress } from '@heki/physical-memory';
import type { ExitAction, Vcpu, VmxInstruction } from '@heki/vcpu';
import { AMD_ZEN4, type CpuProfile, CR0, CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createGuest, kernelVa, LIST_FRAME, range, type TestGuest, userVa } from '../testing/guest.ts';
import { tablesOfL1 } from '../testing/nested-tables.ts';
import type { NestedExit, NestedSetup } from './nested-guest.ts';

test('rfc-v2: a nested guest cannot write or run what L1 may not, and its own programs do not run either', () => {
  const guest = createGuest({ profile: 'rfc-v2' });
  const eptp = tablesOfL1(guest);
  guest.protect([range(0x200, 0x201, 3), range(0x201, 0x202, 5)]);
  expect(guest.vm.enterNested(guest.cpu, eptp)).toBe(true);
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(guest.cpu.store(kernelVa(0x20_1000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(guest.cpu.fetch(kernelVa(0x20_1000))).toMatchObject({ kind: 'done' });
  expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  guest.cpu.registers.cpl = 3;
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  guest.vm.leaveNested(guest.cpu);
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
});

test('hardened: a nested guest is entered only while nothing is protected, and thrown out when that changes', () => {
  const guest = createGuest();
  const eptp = tablesOfL1(guest);
  const other = guest.addCpu();
  expect(guest.vm.enterNested(other, eptp)).toBe(true);
  expect(other.fetch(kernelVa(0x20_0000))).toMatchObject({ kind: 'done' });
  guest.protect([range(0x200, 0x201, 3)]);
  expect(other.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  other.registers.cpl = 3;
  expect(other.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
  expect(guest.vm.enterNested(other, eptp)).toBe(false);
});

test("new rights bind an L2 at once, and a fault in L1's own tables is L1's business", () => {
  const guest = createGuest({ profile: 'rfc-v2' });
  const other = guest.addCpu();
  guest.vm.enterNested(other, tablesOfL1(guest));
  expect(other.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  guest.protect([range(0x200, 0x201, 1)]);
  expect(other.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(other.load(kernelVa(0x3000_0000), 8)).toMatchObject({ kind: 'stopped' });
});

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('expected something');
  return value;
}

const stopped = { kind: 'stopped', why: expect.stringContaining('a VM exit to L1') };
const done = { kind: 'done' };

/** A guest whose L2 has its exits handled, or not. */
function nestedGuest(
  options: Parameters<typeof createGuest>[0] & {
    setup?: NestedSetup;
    answer?: (exit: NestedExit) => ExitAction;
  } = {},
) {
  const { setup, answer, ...rest } = options;
  const guest = createGuest(rest);
  const exits: NestedExit[] = [];
  const cpu = guest.addCpu(
    answer === undefined
      ? {}
      : {
          onNestedExit(_cpu, exit) {
            exits.push(exit);
            return answer(exit);
          },
        },
  );
  expect(guest.vm.enterNested(cpu, tablesOfL1(guest), setup)).toBe(true);
  return { ...guest, cpu, exits, l1: guest.cpu };
}

const skip = (): ExitAction => ({ kind: 'skip' });

describe.each([
  ['rfc-v2', {}],
  ['hardened', {}],
  ['rfc-v2', { processor: AMD_ZEN4 }],
  ['hardened', { processor: AMD_ZEN4 }],
] as const)('%s %#: hypercalls of an L2', (profile, options) => {
  test("are L1's: neither pin nor protect anything", () => {
    for (const [number, ...args] of [
      [13, 4n, CR4.SMEP],
      [14, BigInt(LIST_FRAME * 4096)],
      [9, 0n],
      [1, 0n],
    ] as const) {
      const guest = nestedGuest({ profile, ...options });
      const [rbx = 0n, rcx = 0n] = args;
      Object.assign(guest.cpu.registers, { rax: BigInt(number), rbx, rcx, rdx: 0n });
      expect(guest.cpu.vmcall()).toMatchObject(stopped);
      expect(guest.cpu.registers.rax).toBe(BigInt(number));
      expect(guest.vm.pins).toEqual({ cr0: 0n, cr4: 0n });
      expect(guest.vm.attributes.extents).toBe(0);
      expect(guest.of('hypercall')).toEqual([]);
      expect(guest.of('nested-exit')).toMatchObject([{ vcpu: 1, exit: { reason: 'hypercall' } }]);
    }
  });

  test('are answered by the hypervisor in L1, and L1 has its own again when L2 is left', () => {
    const guest = nestedGuest({
      profile,
      ...options,
      answer() {
        guest.cpu.registers.rax = 77n;
        return { kind: 'skip' };
      },
    });
    Object.assign(guest.cpu.registers, { rax: 13n, rbx: 4n, rcx: CR4.SMEP, rdx: 0n });
    expect(guest.cpu.vmcall()).toMatchObject(done);
    expect(guest.cpu.registers.rax).toBe(77n);
    expect(guest.exits).toEqual([{ reason: 'hypercall' }]);
    guest.vm.leaveNested(guest.cpu);
    Object.assign(guest.cpu.registers, { rax: 13n, rbx: 4n, rcx: CR4.SMEP, rdx: 0n });
    expect(guest.cpu.vmcall()).toMatchObject(done);
    expect(guest.vm.pins.cr4).toBe(CR4.SMEP);
  });
});

test("VMMCALL of an L2 on Intel is #UD, and every instruction of VMX is L1's", () => {
  const guest = nestedGuest({ answer: skip });
  const names: VmxInstruction[] = ['invept', 'invvpid', 'vmclear', 'vmlaunch', 'vmptrld', 'vmptrst'];
  names.push('vmread', 'vmresume', 'vmwrite', 'vmxoff', 'vmxon');
  expect(guest.cpu.vmcall('vmmcall')).toMatchObject({ kind: 'exception', vector: 6 });
  for (const instruction of names) expect(guest.cpu.vmx(instruction)).toMatchObject(done);
  expect(guest.exits).toEqual(names.map((instruction) => ({ reason: 'vmx-instruction', instruction })));
  expect(guest.l1.vmx('vmread')).toMatchObject({ kind: 'exception', vector: 6 });
});

test('on AMD VMMCALL of an L2 exits when L1 intercepts it, and is #UD otherwise, as VMCALL and VMX are', () => {
  for (const hypercallExiting of [true, false]) {
    const guest = nestedGuest({
      processor: AMD_ZEN4,
      answer: skip,
      setup: { controls: { hypercallExiting } },
    });
    expect(guest.cpu.vmcall()).toMatchObject(hypercallExiting ? done : { kind: 'exception', vector: 6 });
    expect(guest.cpu.vmcall('vmcall')).toMatchObject({ kind: 'exception', vector: 6 });
    expect(guest.cpu.vmx('vmread')).toMatchObject({ kind: 'exception', vector: 6 });
    expect(guest.exits).toHaveLength(hypercallExiting ? 1 : 0);
    guest.vm.leaveNested(guest.cpu);
    Object.assign(guest.cpu.registers, { rax: 1n });
    expect(guest.cpu.vmcall()).toMatchObject(done);
  }
});

describe("control registers of an L2 on Intel: bits that L1's mask takes", () => {
  const controls = { cr0Mask: CR0.WP | CR0.TS, cr0Shadow: CR0.WP, cr4Mask: CR4.SMEP, cr4Shadow: 0n };

  test('exit to L1 when they change from the read shadow, and are read from it', () => {
    const guest = nestedGuest({ answer: skip, setup: { controls } });
    const { cpu } = guest;
    const { cr0, cr4 } = cpu.registers;
    expect(cpu.movFromCr(4)).toMatchObject({ value: cr4 & ~CR4.SMEP });
    expect(cpu.movFromCr(0)).toMatchObject({ value: (cr0 & ~CR0.TS) | CR0.WP });
    cpu.movToCr(4, cr4 | CR4.SMEP);
    cpu.movToCr(0, cr0 & ~CR0.WP);
    cpu.lmsw(Number((cr0 | CR0.TS) & 0xfn));
    expect(guest.exits).toEqual([
      { reason: 'mov-to-cr', cr: 4, value: cr4 | CR4.SMEP },
      { reason: 'mov-to-cr', cr: 0, value: cr0 & ~CR0.WP },
      { reason: 'mov-to-cr', cr: 0, value: cr0 | CR0.TS },
    ]);
    expect(cpu.registers).toMatchObject({ cr0, cr4 });
  });

  test('keep what L1 gave them when the others are written', () => {
    const guest = nestedGuest({ answer: skip, setup: { controls } });
    const { cpu } = guest;
    const { cr0, cr4 } = cpu.registers;
    expect(cpu.movToCr(4, cr4 & ~(CR4.SMEP | CR4.SMAP))).toMatchObject(done);
    expect(cpu.registers.cr4).toBe(cr4 & ~CR4.SMAP);
    expect(cpu.movFromCr(4)).toMatchObject({ value: cr4 & ~(CR4.SMEP | CR4.SMAP) });
    expect(cpu.movToCr(0, cr0 ^ CR0.AM)).toMatchObject(done);
    expect(cpu.registers.cr0).toBe(cr0 ^ CR0.AM);
    expect(guest.exits).toEqual([]);
  });

  test('CR3, MSRs and descriptor tables exit as L1 has it', () => {
    const msr = 0xc000_0082;
    const guest = nestedGuest({
      answer: skip,
      setup: {
        controls: {
          cr3LoadExiting: true,
          descriptorTableExiting: true,
          readExitingMsrs: new Set([msr]),
          writeExitingMsrs: 'all',
        },
      },
    });
    const { cpu } = guest;
    cpu.movToCr(3, 0n);
    cpu.lidt(0n as VirtualAddress, 0xff);
    cpu.rdmsr(msr);
    cpu.wrmsr(0x174, 1n);
    expect(guest.exits.map(({ reason }) => reason)).toEqual([
      'mov-to-cr',
      'descriptor-table',
      'rdmsr',
      'wrmsr',
    ]);
    guest.vm.leaveNested(cpu);
    cpu.lidt(0n as VirtualAddress, 0xff);
    cpu.wrmsr(0x174, 1n);
    expect(guest.exits).toHaveLength(4);
  });
});

test('on AMD control registers of an L2 exit to L1 as its intercepts have it', () => {
  for (const [svm, expected] of [
    [{ cr0Write: false, cr0Selective: false, cr4Write: false }, []],
    [{ cr0Write: false, cr0Selective: false, cr4Write: true }, [4]],
    [{ cr0Write: false, cr0Selective: true, cr4Write: false }, [0]],
    [{ cr0Write: true, cr0Selective: false, cr4Write: false }, [0, 0]],
  ] as const) {
    const guest = nestedGuest({ processor: AMD_ZEN4, answer: skip, setup: { controls: { svm } } });
    const { cpu } = guest;
    cpu.movToCr(4, cpu.registers.cr4 & ~CR4.UMIP);
    cpu.movToCr(0, cpu.registers.cr0 ^ CR0.TS);
    cpu.movToCr(0, cpu.registers.cr0 ^ CR0.AM);
    const { cr4 } = cpu.registers;
    expect(guest.exits.map((exit) => (exit.reason === 'mov-to-cr' ? exit.cr : exit.reason))).toEqual(
      expected,
    );
    expect((cr4 & CR4.UMIP) !== 0n).toBe(svm.cr4Write);
  }
});

test("a triple fault of an L2, and a misconfiguration of L1's tables, are L1's", () => {
  const guest = nestedGuest({ answer: skip });
  guest.cpu.registers.idtr = { base: kernelVa(0), limit: 0 };
  expect(guest.cpu.load(kernelVa(0x8000_0000), 8)).toMatchObject({ kind: 'triple-fault' });
  expect(guest.exits.at(-1)).toEqual({ reason: 'triple-fault' });
  const other = nestedGuest();
  // Write without read, in the entry for the first GiB: the last table of L1 but one.
  other.vm.write('vmm', (0x3001 * 4096) as Gpa, Uint8Array.of(2));
  expect(other.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject(stopped);
  expect(other.of('nested-exit')).toMatchObject([{ exit: { reason: 'ept-misconfiguration' } }]);
});

test('L1 goes on behind a triple fault of its L2', () => {
  const guest = createGuest();
  const cpu = guest.addCpu({
    onNestedExit(vcpu) {
      guest.vm.leaveNested(vcpu);
      return { kind: 'resume' };
    },
  });
  expect(guest.vm.enterNested(cpu, tablesOfL1(guest))).toBe(true);
  cpu.registers.idtr = { base: kernelVa(0), limit: 0 };
  expect(cpu.load(kernelVa(0x8000_0000), 8)).toEqual({ kind: 'triple-fault' });
  expect(cpu.halted).toBeUndefined();
  cpu.registers.idtr = undefined;
  expect(cpu.load(kernelVa(0x20_0000), 8)).toMatchObject(done);
  cpu.registers.idtr = { base: kernelVa(0), limit: 0 };
  expect(cpu.load(kernelVa(0x8000_0000), 8)).toEqual({ kind: 'triple-fault' });
  expect(cpu.halted).toEqual({ kind: 'triple-fault' });
});

describe.each<[string, { processor?: CpuProfile }]>([
  ['Intel', {}],
  ['AMD', { processor: AMD_ZEN4 }],
])("L1's tables on %s", (_vendor, options) => {
  /** An L2 whose first table below the root is at guest frame `table`, or at its place. */
  function withTable(table?: number, runsProtected = false) {
    const guest = createGuest({ ...options, defects: { 'B-NESTED': runsProtected } });
    const exits: NestedExit[] = [];
    const cpu = guest.addCpu({
      onNestedExit(_cpu, exit) {
        exits.push(exit);
        return { kind: 'skip', value: 5n };
      },
    });
    const pointer = tablesOfL1(guest);
    const root = guest.ram.writablePage((0x10_0000 + Number(pointer >> 12n)) as Pfn);
    if (root !== undefined && table !== undefined) root[0] = (((root[0] ?? 0) & 0xfff) | (table << 12)) >>> 0;
    return { ...guest, cpu, exits, pointer };
  }

  test('are not present where no slot is: that is for L1 to hear', () => {
    const below = withTable(0x9_0000);
    expect(below.vm.enterNested(below.cpu, below.pointer)).toBe(true);
    expect(below.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ value: 5n });
    const root = withTable();
    const away = (root.pointer & 0xfffn) | (0x9_0000n << 12n);
    expect(root.vm.enterNested(root.cpu, away)).toBe(true);
    expect(root.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ value: 5n });
    for (const { exits } of [below, root]) {
      expect(exits).toMatchObject([
        options.processor === undefined
          ? { reason: 'ept-violation', qualification: 0x081 }
          : { reason: 'nested-page-fault', info1: 0x2_0000_0006n },
      ]);
    }
  });

  test('are found anew when their slot goes and comes', () => {
    const guest = withTable();
    const { vm, cpu } = guest;
    expect(vm.enterNested(cpu, guest.pointer)).toBe(true);
    const read = () => cpu.load(kernelVa(0x20_0000), 8);
    expect(read()).toMatchObject({ value: 0n });
    vm.removeMemory(0 as Gfn);
    expect(read()).toMatchObject({ value: 5n });
    vm.addMemory({ start: 0 as Gfn, frames: 0x3000, backing: 0x10_0000 as Pfn });
    // Other memory where the tables were, which has no entries.
    vm.addMemory({ start: 0x3000 as Gfn, frames: 0x100, backing: 0x10_2000 as Pfn });
    expect(read()).toMatchObject({ value: 5n });
    vm.removeMemory(0x3000 as Gfn);
    vm.addMemory({ start: 0x3000 as Gfn, frames: 0x100, backing: 0x10_3000 as Pfn });
    expect(read()).toMatchObject({ value: 0n });
  });

  test('are forgotten with their slot, also where nothing of it was mapped', () => {
    const guest = withTable();
    const { vm, cpu } = guest;
    vm.removeMemory(0 as Gfn);
    for (const [start, end] of [
      [0, 0x3000],
      [0x3000, 0x3100],
      [0x3100, 0x4000],
    ] as const) {
      vm.addMemory({ start: start as Gfn, frames: end - start, backing: (0x10_0000 + start) as Pfn });
    }
    expect(vm.enterNested(cpu, guest.pointer)).toBe(true);
    const read = () => cpu.load(kernelVa(0x20_0000), 8);
    expect(read()).toMatchObject({ value: 0n });
    vm.removeMemory(0x3000 as Gfn);
    expect(read()).toMatchObject({ value: 5n });
    // The same tables in other memory, but for a root without entries.
    const root = Number(guest.pointer >> 12n) - 0x3000;
    for (let at = 0; at < 0x100; at++) {
      const page = guest.ram.page((0x10_3000 + at) as Pfn);
      const copy = guest.ram.writablePage((0x10_4000 + at) as Pfn);
      if (page !== undefined && at !== root) copy?.set(page as Uint32Array);
    }
    vm.addMemory({ start: 0x3000 as Gfn, frames: 0x100, backing: 0x10_4000 as Pfn });
    expect(read()).toMatchObject({ value: 5n });
  });

  /** Makes the slot of L1's tables a read-only one. */
  function makeRom({ vm }: TestGuest): void {
    vm.removeMemory(0 as Gfn);
    for (const [start, end, readOnly] of [
      [0, 0x3000, false],
      [0x3000, 0x3100, true],
      [0x3100, 0x4000, false],
    ] as const) {
      const backing = (0x10_0000 + start) as Pfn;
      vm.addMemory({ start: start as Gfn, frames: end - start, backing, readOnly });
    }
  }

  test.each([
    ['a read-only slot', makeRom],
    ['frames that were made read-only', ({ protect }: TestGuest) => protect([range(0x3000, 0x3100, 1)])],
  ])('in %s keep the flags that they have', (_where, prepare) => {
    const guest = withTable(undefined, true);
    prepare(guest);
    const words = (): string => String(guest.ram.page((0x10_0000 + 0x3000) as Pfn));
    const before = words();
    // EPTP bit 6: accessed and dirty flags.
    const flags = options.processor === undefined ? 0x40n : 0n;
    expect(guest.vm.enterNested(guest.cpu, guest.pointer | flags)).toBe(true);
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject(done);
    expect(words()).toBe(before);
  });
});

test('what the tables of an L2 refuse goes to L1, and what KVM has not mapped yet does not', () => {
  for (const options of [{}, { processor: AMD_ZEN4 }]) {
    const guest = nestedGuest({ ...options, answer: () => ({ kind: 'skip', value: 5n }) });
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ ...done, value: 0n });
    expect(guest.exits).toEqual([]);
    expect(guest.cpu.load(kernelVa(0x3000_0000), 8)).toMatchObject({ ...done, value: 5n });
    expect(guest.exits).toHaveLength(1);
  }
});

describe("pins of L1's registers", () => {
  test('rfc-v2: bind an L2, and not what a VM exit loads', () => {
    const guest = createGuest({ profile: 'rfc-v2' });
    const { cpu, vm } = guest;
    const { cr4 } = cpu.registers;
    guest.hypercall(13, 4, CR4.SMEP);
    expect(vm.enterNested(cpu, tablesOfL1(guest), { host: { cr4: cr4 & ~CR4.SMEP } })).toBe(true);
    expect(cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject({ vector: 13 });
    vm.leaveNested(cpu);
    expect(cpu.registers.cr4).toBe(cr4 & ~CR4.SMEP);
  });

  test('hardened: leave an L2 its own registers, and hold again for L1', () => {
    const guest = createGuest();
    const { cpu, vm } = guest;
    const { cr0, cr4 } = cpu.registers;
    guest.hypercall(13, 4, CR4.SMEP);
    guest.hypercall(13, 0, CR0.WP);
    expect(vm.enterNested(cpu, tablesOfL1(guest), { host: { cr4: cr4 & ~CR4.SMEP } })).toBe(false);
    expect(vm.enterNested(cpu, tablesOfL1(guest), { host: { cr0: cr0 & ~CR0.WP } })).toBe(false);
    expect(vm.enterNested(cpu, tablesOfL1(guest))).toBe(true);
    expect(cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject(done);
    expect(cpu.movToCr(0, cr0 & ~CR0.WP)).toMatchObject(done);
    expect(vm.emulateMovToCr(cpu, 4, cr4 & ~CR4.SMAP)).toEqual({ kind: 'completed' });
    vm.leaveNested(cpu);
    expect(cpu.registers).toMatchObject({ cr0, cr4 });
    expect(cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject({ vector: 13 });
    expect(cpu.movToCr(0, cr0 & ~CR0.WP)).toMatchObject({ vector: 13 });
  });

  test.each<[string, (guest: TestGuest, second: Vcpu) => void]>([
    ['another virtual CPU', (guest) => void guest.hypercall(13, 4, CR4.SMEP)],
    ['the VMM', ({ vm }) => void vm.pin({ cr4: CR4.SMEP })],
    ['a restored state', ({ vm }) => void vm.restore({ ...need(vm.save()), cr4: CR4.SMEP })],
  ])('hardened: hold for what a VM exit loads when %s has pinned them since VM entry', (_who, pin) => {
    const guest = createGuest();
    const { vm } = guest;
    const second = guest.addCpu();
    const { cr4 } = second.registers;
    expect(vm.enterNested(second, tablesOfL1(guest), { host: { cr4: cr4 & ~CR4.SMEP } })).toBe(true);
    pin(guest, second);
    expect(second.load(kernelVa(0x20_0000), 8)).toMatchObject(done);
    vm.leaveNested(second);
    expect(second.registers.cr4).toBe(cr4);
    expect(second.load(kernelVa(0x20_0000), 8)).toMatchObject({
      kind: 'stopped',
      why: expect.stringContaining('VMX abort'),
    });
    vm.lifeCycle({ kind: 'init', vcpu: 1 });
    expect(second.halted).toBe(undefined);
  });
});

describe('hardened: no L2 runs while memory is protected', () => {
  const rights = (supervisorExecute: boolean) => ({
    read: true,
    write: true,
    supervisorExecute,
    userExecute: true,
  });
  const none = { ranges: [], otherwise: rights(true), cr0: 0n, cr4: 0n };

  test.each([
    ['by a range', { ...none, ranges: [{ start: 1 as Gfn, end: 2 as Gfn, rights: rights(false) }] }],
    ['by the default alone', { ...none, otherwise: rights(false) }],
  ])('restored %s', (_how, state) => {
    const guest = nestedGuest();
    const { vm, cpu } = guest;
    expect(cpu.fetch(kernelVa(0x20_0000))).toMatchObject(done);
    expect(vm.restore(state)).toBe(true);
    // The virtual CPU is L1's again: its hypercalls are.
    Object.assign(cpu.registers, { rax: 1n });
    expect(cpu.vmcall()).toMatchObject(done);
    expect(vm.enterNested(cpu, tablesOfL1(guest))).toBe(false);
    expect(vm.restore(none)).toBe(true);
    expect(vm.enterNested(cpu, tablesOfL1(guest))).toBe(true);
  });

  test('nor behind a request that protects nothing but the default', () => {
    const guest = nestedGuest({ processor: AMD_ZEN4 });
    expect(guest.protect([range(0x200, 0x201, 7)])).toBe(0);
    expect(guest.of('nested-exit')).toEqual([]);
    Object.assign(guest.cpu.registers, { rax: 1n });
    expect(guest.cpu.vmcall()).toMatchObject(done);
    expect(guest.vm.enterNested(guest.cpu, tablesOfL1(guest))).toBe(false);
  });
});

const init = { kind: 'init', vcpu: 1 } as const;

test('INIT of an L2 on Intel is an exit to L1, which runs on and has taken the signal', () => {
  const guest = nestedGuest({ answer: skip });
  const { cr0 } = guest.cpu.registers;
  guest.vm.lifeCycle(init);
  expect(guest.exits).toEqual([{ reason: 'init' }]);
  expect(guest.of('nested-exit')).toEqual([{ type: 'nested-exit', vcpu: 1, exit: { reason: 'init' } }]);
  expect(guest.cpu.registers.cr0).toBe(cr0);
  expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject(done);
  guest.vm.leaveNested(guest.cpu);
  expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject(done);
  guest.vm.lifeCycle(init);
  expect(guest.exits).toHaveLength(1);
  expect(guest.cpu.registers.cr0 & CR0.PG).toBe(0n);
});

test('INIT stops an L2 whose L1 does not answer the exit, until the next one, and L1 may inject an exception', () => {
  const deaf = nestedGuest();
  deaf.vm.lifeCycle(init);
  expect(deaf.cpu.load(kernelVa(0x20_0000), 8)).toEqual({
    kind: 'stopped',
    why: 'a VM exit to L1, which has no handler for it: INIT',
  });
  deaf.vm.lifeCycle(init);
  expect(deaf.cpu.halted).toBe(undefined);
  expect(deaf.cpu.registers.cr0 & CR0.PG).toBe(0n);
  const exception = { vector: 13, errorCode: 0 };
  const other = nestedGuest({ answer: () => ({ kind: 'inject', exception }) });
  other.vm.lifeCycle(init);
  expect(other.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ kind: 'exception', vector: 13 });
});

const IGNORES = { cr0Write: false, cr0Selective: false, cr4Write: false };

test.each([
  ['not intercepted restarts L1', undefined, false, 0, false],
  ['with other intercepts restarts L1', IGNORES, false, 0, false],
  ['intercepted leaves an L2 that L1 goes on with as it is', { ...IGNORES, init: true }, false, 1, true],
  [
    'intercepted is pending, and restarts an L1 that leaves its L2',
    { ...IGNORES, init: true },
    true,
    1,
    false,
  ],
] as const)('on AMD INIT that is %s', (_title, svm, leaves, exits, pages) => {
  const guest = nestedGuest({
    processor: AMD_ZEN4,
    setup: { controls: { svm } },
    answer: () => {
      if (leaves) guest.vm.leaveNested(guest.cpu);
      return { kind: 'skip' };
    },
  });
  guest.vm.lifeCycle(init);
  expect(guest.exits).toHaveLength(exits);
  expect((guest.cpu.registers.cr0 & CR0.PG) !== 0n).toBe(pages);
});

test('reset leaves the L2', () => {
  const guest = nestedGuest({ answer: skip });
  guest.vm.lifeCycle({ kind: 'reset' });
  expect(guest.exits).toEqual([]);
  expect(guest.cpu.registers.cr0 & CR0.PG).toBe(0n);
});

test('a pointer to tables that cannot be is refused', () => {
  const amd = createGuest({ processor: AMD_ZEN4 });
  expect(() => amd.vm.enterNested(amd.cpu, 5n)).toThrow('nCR3 0x5: expected a page-aligned address below 2^');
});
