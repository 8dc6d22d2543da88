import type { Gfn, Pfn, VirtualAddress } from '@heki/physical-memory';
import { AMD_ZEN4, CR0, EFER, INTEL_VT_RP, PageFaultCode } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { describeVcpuEvent } from '../describe-event.ts';
import type { VcpuEvent } from '../event.ts';
import type { EmulatedAccess, EmulatedMemory, EmulatedTarget, ExitAction } from '../exit-action.ts';
import { machine, PTE, va } from '../testing/machine.ts';
import { ALL, ListedSecondLevel } from '../testing/second-level.ts';
import type { Vcpu } from '../vcpu.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const at = (offset: number): VirtualAddress => (KERNEL + BigInt(offset)) as VirtualAddress;
const GP: EmulatedTarget = { kind: 'inject', exception: { vector: 13, errorCode: 0 } };

/**
 * A machine whose tables, in frames from 16 on, the second level maps for no access: every access is emulated. Linear pages 0, 1, 2 ... of the
 * kernel are frames 256, 257, 258 ...; among them are `holes`, `roms`, those that it may not reach, and those that memory does not hold.
 */
function emulated(
  options: {
    holes?: readonly number[];
    roms?: readonly number[];
    refused?: readonly number[];
    absent?: readonly number[];
  } = {},
) {
  const { holes = [], roms = [], refused = [], absent = [] } = options;
  const second = new ListedSecondLevel();
  second.map(256, 64, ALL);
  const devices: EmulatedAccess[] = [];
  const judged: EmulatedAccess[] = [];
  const events: VcpuEvent[] = [];
  const built = machine({
    secondLevel: second,
    onEvent: (event) => events.push(event),
    onExit: (): ExitAction => ({ kind: 'emulate', memory }),
  });
  const guest: EmulatedMemory['memory'] = {
    page: (gfn) => (absent.includes(gfn) ? undefined : built.memory.page(gfn as number as Pfn)),
    writablePage: (gfn) =>
      absent.includes(gfn) ? undefined : built.memory.writablePage(gfn as number as Pfn),
  };
  const frameOf = (access: EmulatedAccess): number => Math.floor(access.gpa / 4096);
  const memory: EmulatedMemory & { flags: boolean } = {
    flags: true,
    memory: guest,
    has: (gfn) => gfn < 4096,
    takesFlags: () => memory.flags,
    judge(access) {
      judged.push(access);
      if (holes.includes(frameOf(access))) return 'device';
      if (roms.includes(frameOf(access)) && access.kind === 'write') return 'device';
      return refused.includes(frameOf(access)) ? GP : 'memory';
    },
    onDevice: (access) => devices.push(access),
    failure: { kind: 'stop', why: 'emulation' },
  };
  for (let page = 0; page < 8; page++) {
    built.tables.map(KERNEL + BigInt(page * 4096), 256 + page, PTE.P | PTE.W);
  }
  const word = (frame: number, index: number): number => built.memory.page(frame as never)?.[index] ?? 0;
  return { ...built, memory, devices, judged, events, word };
}

const done = { kind: 'done' };

describe('an instruction that the hypervisor carries out', () => {
  test('reads and writes guest memory by a walk of its own, and RIP is behind it', () => {
    const { cpu, tables, word, events } = emulated();
    const { rip } = cpu.registers;
    expect(cpu.store(at(8), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
    expect(cpu.registers.rip).toBe(rip + 3n);
    expect(word(256, 2)).toBe(0x5566_7788);
    expect(cpu.load(at(8), 4)).toMatchObject({ ...done, value: 0x5566_7788n });
    expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(PTE.A | PTE.D);
    expect(events.filter(({ type }) => type === 'access')).toMatchObject([
      { access: 'store', frame: undefined },
      { access: 'load', frame: undefined },
    ]);
  });

  test('leaves flags alone where the walk may not set them', () => {
    const { cpu, tables, memory } = emulated();
    memory.flags = false;
    expect(cpu.store(at(8), 8, 1n)).toMatchObject(done);
    expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(0);
  });

  test('is judged access by access: what, where, and whose page', () => {
    const { cpu, judged, tables } = emulated();
    tables.map(0x1000n, 260, PTE.P | PTE.W | PTE.U);
    cpu.readModifyWrite(at(0x1008), 8, (old) => old);
    cpu.fetch(at(0x2ffe), 4);
    cpu.stac();
    cpu.load(va(0x1000n), 1);
    expect(judged).toEqual([
      { kind: 'read', gpa: 257 * 4096 + 8, linear: at(0x1008), userPage: false },
      { kind: 'write', gpa: 257 * 4096 + 8, linear: at(0x1008), userPage: false },
      { kind: 'fetch', gpa: 258 * 4096 + 0xffe, linear: at(0x2ffe), userPage: false },
      { kind: 'fetch', gpa: 259 * 4096, linear: at(0x3000), userPage: false },
      { kind: 'read', gpa: 260 * 4096, linear: va(0x1000n), userPage: true },
    ]);
  });

  test('does its part in memory when the other part is a device', () => {
    const { cpu, devices, word, events } = emulated({ holes: [257] });
    expect(cpu.store(at(0xffc), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
    expect(word(256, 1023)).toBe(0x5566_7788);
    expect(cpu.load(at(0xffc), 8)).toMatchObject({ value: 0xffff_ffff_5566_7788n });
    expect(cpu.store(at(0x1ffc), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
    expect(word(258, 0)).toBe(0x1122_3344);
    expect(devices.map(({ kind, gpa }) => [kind, gpa])).toEqual([
      ['write', 257 * 4096],
      ['read', 257 * 4096],
      ['write', 257 * 4096 + 0xffc],
    ]);
    expect(events.filter(({ type }) => type === 'no-memory').map(describeVcpuEvent)).toEqual([
      'cpu 0: no memory for the write at guest-physical 0x101000',
      'cpu 0: no memory for the read at guest-physical 0x101000',
      'cpu 0: no memory for the write at guest-physical 0x101ffc',
    ]);
  });

  test('reaches no device when it faults in the end', () => {
    const { cpu, devices, tables } = emulated({ holes: [257] });
    tables.change(KERNEL + 0x2000n, PTE.P);
    expect(cpu.store(at(0x1ffc), 8, 0n)).toMatchObject({
      vector: 14,
      errorCode: PageFaultCode.W,
      cr2: at(0x2000),
    });
    expect(devices).toEqual([]);
  });

  test('faults as its walk does, by the rules of the processor', () => {
    const { cpu, tables, events } = emulated();
    tables.change(KERNEL, PTE.W);
    expect(cpu.store(at(0), 8, 0n)).toMatchObject({
      vector: 14,
      errorCode: PageFaultCode.P | PageFaultCode.W,
    });
    expect(events.findLast(({ type }) => type === 'exception')).toMatchObject({ injected: false });
    expect(cpu.load(va(0x8000_0000_0000n), 8)).toMatchObject({ vector: 13 });
    cpu.registers.cpl = 3;
    expect(cpu.load(at(0), 8)).toMatchObject({ errorCode: PageFaultCode.P | PageFaultCode.U });
  });

  test('finds no entry in a table where no memory is, and cannot say what is in one that is absent', () => {
    const { cpu, tables, memory } = emulated();
    tables.entry(KERNEL, 4).page[2 * 273] = 0x2000 * 4096 + PTE.P + PTE.W;
    expect(cpu.fetch(at(0))).toMatchObject({ vector: 14, errorCode: PageFaultCode.ID, cr2: at(0) });
    memory.has = () => true;
    expect(cpu.load(at(0), 8)).toEqual({ kind: 'absent-table', entry: 0x2000 * 4096 });
    // The entry that is missing, not the table.
    expect(cpu.load(at(3 * 2 ** 30), 8)).toEqual({ kind: 'absent-table', entry: 0x2000 * 4096 + 3 * 8 });
  });

  test('reads ones and loses stores where memory does not hold the page, and says so each time', () => {
    const { cpu, word } = emulated({ absent: [257] });
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const lost = { kind: 'done', value: undefined, absent: true };
    expect(cpu.store(at(0xffe), 4, 0xaabb_ccddn)).toEqual(lost);
    expect(word(256, 1023)).toBe(0xccdd_0000);
    expect(cpu.load(at(0xffe), 4)).toEqual({ kind: 'done', value: 0xffff_ccddn, absent: true });
    expect(cpu.readModifyWrite(at(0xffe), 4, (old) => old + 1n)).toEqual({
      kind: 'done',
      value: 0xffff_ccddn,
      absent: true,
    });
    expect(word(256, 1023)).toBe(0xccde_0000);
    expect(cpu.storeBytes(at(0xffe), bytes)).toEqual(lost);
    expect(cpu.loadBytes(at(0xffe), 4)).toEqual({
      kind: 'done',
      value: Uint8Array.of(1, 2, 0xff, 0xff),
      absent: true,
    });
    expect(cpu.fetch(at(0xffe), 4)).toEqual({
      kind: 'done',
      value: Uint8Array.of(1, 2, 0xff, 0xff),
      absent: true,
    });
    // What is in memory is not absent.
    expect(cpu.store(at(0), 4, 5n)).toEqual({ kind: 'done', value: undefined });
    expect(cpu.load(at(0), 4)).toEqual({ kind: 'done', value: 5n });
    expect(cpu.readModifyWrite(at(0), 4, (old) => old)).toEqual({ kind: 'done', value: 5n });
    expect(cpu.storeBytes(at(0), bytes)).toEqual({ kind: 'done', value: undefined });
    expect(cpu.loadBytes(at(0), 4)).toEqual({ kind: 'done', value: bytes });
    expect(cpu.fetch(at(0), 4)).toEqual({ kind: 'done', value: bytes });
    cpu.registers.gdtr = { base: at(0x1000), limit: 0xff };
    expect(cpu.ltr(8)).toEqual({ kind: 'absent-table', entry: 257 * 4096 + 8 });
  });

  test('that is refused becomes what the hypervisor says, with what it did before', () => {
    const { cpu, word } = emulated({ refused: [257] });
    expect(cpu.store(at(0xffc), 8, 0x1122_3344_5566_7788n)).toMatchObject({ vector: 13 });
    expect(word(256, 1023)).toBe(0x5566_7788);
    expect(word(257, 0)).toBe(0);
  });

  test('cannot come from a device', () => {
    const { cpu, devices } = emulated({ holes: [257] });
    expect(cpu.fetch(at(0xffe), 4)).toEqual({ kind: 'stopped', why: 'emulation' });
    expect(devices).toEqual([]);
  });

  test('may be a string, of which 1,024 repetitions are made in one go', () => {
    const { cpu, events } = emulated({ holes: [257] });
    const bytes = Uint8Array.from({ length: 0x2100 }, (_, i) => i % 253);
    expect(cpu.storeBytes(at(0xf80), bytes)).toMatchObject(done);
    expect(events.filter(({ type }) => type === 'exit')).toHaveLength(9);
    expect(cpu.loadBytes(at(0xf80), 0x2100)).toMatchObject({
      value: bytes.map((byte, i) => (i >= 0x80 && i < 0x1080 ? 0xff : byte)),
    });
  });

  test('may load a descriptor, but none of a device', () => {
    const gdt = (cpu: Vcpu): void => {
      cpu.registers.gdtr = { base: at(0), limit: 0xff };
    };
    const inMemory = emulated();
    gdt(inMemory.cpu);
    (inMemory.memory.memory.writablePage(256 as Gfn) as Uint32Array)[3] = 0x8900;
    expect(inMemory.cpu.ltr(8)).toMatchObject(done);
    expect(inMemory.word(256, 3)).toBe(0x8b00);
    const inHole = emulated({ holes: [256] });
    gdt(inHole.cpu);
    expect(inHole.cpu.ltr(8)).toEqual({ kind: 'stopped', why: 'emulation' });
    // In memory that takes no store a TSS is available for ever.
    const inRom = emulated({ roms: [256] });
    gdt(inRom.cpu);
    (inRom.memory.memory.writablePage(256 as Gfn) as Uint32Array)[3] = 0x8900;
    expect(inRom.cpu.ltr(8)).toEqual({ kind: 'done', value: undefined });
    expect(inRom.cpu.registers.tr).toBe(8);
    expect(inRom.word(256, 3)).toBe(0x8900);
    expect(inRom.devices).toMatchObject([{ kind: 'write', linear: at(8 + 5) }]);
  });

  test('is not the delivery of an exception', () => {
    const { cpu, tables } = emulated();
    tables.change(KERNEL, PTE.P);
    cpu.registers.idtr = { base: at(0x1000), limit: 0xfff };
    expect(cpu.load(at(0), 8)).toEqual({ kind: 'stopped', why: 'emulation' });
  });
});

test('VMCALL and VMMCALL: the one that the processor has exits, the other one is undefined', () => {
  for (const [processor, own, other] of [
    [INTEL_VT_RP, 'vmcall', 'vmmcall'],
    [AMD_ZEN4, 'vmmcall', 'vmcall'],
  ] as const) {
    const exits: string[] = [];
    const { cpu } = machine({
      processor,
      onExit: (_cpu, { reason }) => {
        exits.push(reason);
        return { kind: 'skip' };
      },
    });
    expect(cpu.vmcall()).toMatchObject(done);
    expect(cpu.vmcall(own)).toMatchObject(done);
    expect(cpu.vmcall(other)).toMatchObject({ kind: 'exception', vector: 6 });
    cpu.vmx('vmread');
    expect(exits).toEqual(['hypercall', 'hypercall', ...(own === 'vmcall' ? ['vmx-instruction'] : [])]);
  }
});

test('instructions of VMX are undefined in compatibility mode and without protection, whatever the CPL; VMCALL exits', () => {
  const { cpu } = machine({ onExit: (_cpu, { reason }) => ({ kind: 'stop', why: reason }) });
  const undefinedOpcode = { kind: 'exception', vector: 6 };
  const { cr0 } = cpu.registers;
  for (const cpl of [0, 3] as const) {
    Object.assign(cpu.registers, { cpl, codeSegment64: false });
    for (const instruction of ['vmread', 'vmxon', 'invept'] as const) {
      expect(cpu.vmx(instruction)).toMatchObject(undefinedOpcode);
    }
  }
  Object.assign(cpu.registers, { cpl: 0, cr0: 0n, efer: 0n });
  expect(cpu.vmx('vmread')).toMatchObject(undefinedOpcode);
  // Outside of long mode there is no compatibility mode.
  cpu.registers.cr0 = CR0.PE;
  expect(cpu.vmx('vmread')).toEqual({ kind: 'stopped', why: 'vmx-instruction' });
  cpu.reset();
  Object.assign(cpu.registers, { cr0, efer: EFER.LMA | EFER.LME, codeSegment64: false });
  expect(cpu.vmcall()).toEqual({ kind: 'stopped', why: 'hypercall' });
});
