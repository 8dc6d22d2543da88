import type { Gfn, Pfn, VirtualAddress } from '@heki/physical-memory';
import { AMD_ZEN4, CR4, INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import {
  createGuest,
  kernelVa,
  poke,
  range,
  type TestGuest,
  type TestGuestOptions,
  userVa,
} from '../testing/guest.ts';
import type { UserExit } from './vmm.ts';

const { ept } = INTEL_VT_RP;
if (ept === undefined) throw new TypeError('the processor has EPT');

/** On the first and the last every use of a guest page table is a write for the second level. */
const PROCESSORS = [
  ['EPT with accessed and dirty flags', INTEL_VT_RP],
  ['EPT without them', { ...INTEL_VT_RP, ept: { ...ept, accessedDirty: false } }],
  ['EPT without MBEC', INTEL_HASWELL],
  ['nested paging', AMD_ZEN4],
] as const;

/** Guest frames that hold the guest's tables; of the leaf for all of the direct map, and where memory ends. */
const TABLES = 0x40;
const LEAF = (TABLES + 1) * 4096;
const MEMORY_END = 0x4000;

/** Where a table that is in no slot translates. */
const BEHIND_NO_TABLE = 0xffff_9000_0000_0000n as VirtualAddress;

interface Emulated extends TestGuest {
  /** Guest-physical addresses of MMIO exits. */
  readonly mmio: number[];
}

/** A guest whose frames from `start` to `end` - 1 are a slot of their own, read-only. */
function guestWithRom(options: TestGuestOptions, start: number, end: number): Emulated {
  const guest = emulatedGuest(options);
  const { vm } = guest;
  const { backing = 0 } = vm.slots[0] ?? {};
  vm.removeMemory(0 as Gfn);
  for (const [from, to] of [
    [0, start],
    [start, end],
    [end, MEMORY_END],
  ] as const) {
    vm.addMemory({
      start: from as Gfn,
      frames: to - from,
      backing: (backing + from) as Pfn,
      readOnly: from === start,
    });
  }
  return guest;
}

function emulatedGuest(options: TestGuestOptions): Emulated {
  const mmio: number[] = [];
  const onExit = (exit: UserExit): void => {
    if (exit.reason === 'mmio') mmio.push(exit.gpa);
  };
  return Object.assign(createGuest({ vmm: { onExit }, ...options }), { mmio });
}

function word(guest: TestGuest, gpa: number): number {
  const { backing = 0 } = guest.vm.slots[0] ?? {};
  return guest.ram.page((backing + Math.floor(gpa / 4096)) as Pfn)?.[(gpa % 4096) / 4] ?? 0;
}

const stopped = { kind: 'stopped', why: expect.stringContaining('KVM_EXIT_INTERNAL_ERROR (emulation)') };
const done = { kind: 'done' };

describe.each(PROCESSORS)('%s', (_name, processor) => {
  describe('page tables in a read-only slot', () => {
    test('translate, whatever the instruction', () => {
      const guest = guestWithRom({ processor }, TABLES, TABLES + 8);
      const { cpu } = guest;
      expect(cpu.store(kernelVa(0x20_0000), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
      expect(cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ ...done, value: 0x1122_3344_5566_7788n });
      expect(cpu.readModifyWrite(kernelVa(0x20_0000), 1, (old) => old + 1n)).toMatchObject({
        ...done,
        value: 0x88n,
      });
      expect(cpu.storeBytes(kernelVa(0x20_1ffd), Uint8Array.of(1, 2, 3, 4, 5))).toMatchObject(done);
      expect(cpu.loadBytes(kernelVa(0x20_1ffd), 5)).toMatchObject({ value: Uint8Array.of(1, 2, 3, 4, 5) });
      expect(cpu.fetch(kernelVa(0x20_0000), 2)).toMatchObject({ ...done, value: Uint8Array.of(0x89, 0x77) });
      expect(cpu.store(kernelVa(0x20_0ffe), 4, 0xaabb_ccddn)).toMatchObject(done);
      expect(cpu.load(kernelVa(0x20_0ffe), 4)).toMatchObject({ value: 0xaabb_ccddn });
      expect(word(guest, 0x20_0000)).toBe(0x5566_7789);
      expect(guest.mmio).toEqual([]);
    });

    test('keep accessed and dirty flags that are clear', () => {
      const guest = guestWithRom({ processor }, TABLES, TABLES + 8);
      poke(guest, LEAF, [0x83n]);
      expect(guest.cpu.store(kernelVa(0x20_0000), 8, 7n)).toMatchObject(done);
      expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ value: 7n });
      expect(word(guest, LEAF)).toBe(0x83);
    });

    test('refuse what they refuse anywhere', () => {
      const guest = guestWithRom({ processor }, TABLES, TABLES + 8);
      poke(guest, LEAF, [0xe1n]);
      expect(guest.cpu.store(kernelVa(0x20_0000), 8, 7n)).toMatchObject({
        kind: 'exception',
        vector: 14,
        errorCode: 3,
        cr2: kernelVa(0x20_0000),
      });
      expect(guest.cpu.load(0x0000_9000_0000_0000n as VirtualAddress, 8)).toMatchObject({ vector: 13 });
    });
  });

  test('a page table in no slot counts as not present', () => {
    const guest = emulatedGuest({ processor });
    poke(guest, TABLES * 4096 + 8 * 288, [0x900_0067n]);
    const { cpu } = guest;
    const fault = (errorCode: number) => ({
      kind: 'exception',
      vector: 14,
      errorCode,
      cr2: BEHIND_NO_TABLE,
    });
    expect(cpu.load(BEHIND_NO_TABLE, 8)).toMatchObject(fault(0));
    expect(cpu.store(BEHIND_NO_TABLE, 8, 1n)).toMatchObject(fault(2));
    expect(cpu.readModifyWrite(BEHIND_NO_TABLE, 8, (old) => old)).toMatchObject(fault(2));
    expect(cpu.fetch(BEHIND_NO_TABLE)).toMatchObject(fault(0x10));
    expect(cpu.loadBytes(BEHIND_NO_TABLE, 3)).toMatchObject(fault(0));
    expect(cpu.storeBytes(BEHIND_NO_TABLE, Uint8Array.of(1))).toMatchObject(fault(2));
    cpu.registers.cpl = 3;
    expect(cpu.load(BEHIND_NO_TABLE, 8)).toMatchObject(fault(4));
    cpu.registers.cpl = 0;
    cpu.registers.cr3 = 0x900_0000n;
    expect(cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ vector: 14, errorCode: 0 });
    expect(guest.mmio).toEqual([]);
  });

  test('an instruction in no slot cannot be emulated', () => {
    for (const [at, bytes] of [
      [MEMORY_END * 4096, 1],
      [MEMORY_END * 4096 - 2, 4],
    ] as const) {
      const guest = emulatedGuest({ processor });
      expect(guest.cpu.fetch(kernelVa(at), bytes)).toMatchObject(stopped);
      expect(guest.mmio).toEqual([]);
    }
  });

  test('an exception whose gate is in no slot cannot be delivered', () => {
    const guest = emulatedGuest({ processor });
    guest.cpu.registers.idtr = { base: kernelVa(MEMORY_END * 4096), limit: 0xfff };
    poke(guest, LEAF, [0xe1n]);
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 7n)).toMatchObject(stopped);
  });

  test('of an access over the end of memory, the part in memory is made', () => {
    const guest = emulatedGuest({ processor });
    const { cpu } = guest;
    const end = MEMORY_END * 4096;
    expect(cpu.store(kernelVa(end - 4), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
    expect(word(guest, end - 4)).toBe(0x5566_7788);
    expect(cpu.load(kernelVa(end - 4), 8)).toMatchObject({ ...done, value: 0xffff_ffff_5566_7788n });
    expect(cpu.readModifyWrite(kernelVa(end - 2), 4, (old) => old + 1n)).toMatchObject({
      ...done,
      value: 0xffff_5566n,
    });
    expect(word(guest, end - 4)).toBe(0x5567_7788);
    expect(cpu.storeBytes(kernelVa(end - 3), Uint8Array.of(1, 2, 3, 4))).toMatchObject(done);
    expect(word(guest, end - 4)).toBe(0x0302_0188);
    expect(cpu.loadBytes(kernelVa(end - 3), 4)).toMatchObject({ value: Uint8Array.of(1, 2, 3, 0xff) });
    expect(new Set(guest.mmio)).toEqual(new Set([end]));
    expect(guest.mmio).toHaveLength(6);
  });

  test('a string that begins in a hole goes on in memory', () => {
    const guest = emulatedGuest({ processor });
    const { backing = 0 } = guest.vm.slots[0] ?? {};
    guest.vm.addMemory({ start: 0x4001 as Gfn, frames: 2, backing: backing as Pfn });
    const bytes = Uint8Array.from({ length: 0x1800 }, (_, i) => i % 251);
    expect(guest.cpu.storeBytes(kernelVa(0x400_0800), bytes)).toMatchObject(done);
    expect(guest.cpu.loadBytes(kernelVa(0x400_0800), 0x1800)).toMatchObject({
      value: bytes.map((byte, i) => (i < 0x800 ? 0xff : byte)),
    });
    expect(guest.cpu.loadBytes(kernelVa(0x3ff_f000), 0x3000)).toMatchObject(done);
  });

  test('what was stored before a second page faults stays stored', () => {
    const guest = guestWithRom({ processor }, 0x300, 0x301);
    poke(guest, (TABLES + 1) * 4096, [(BigInt(TABLES + 4) << 12n) | 0x63n]);
    poke(guest, (TABLES + 4) * 4096, [(BigInt(TABLES + 5) << 12n) | 0x63n]);
    // The last page of the ROM's 2 MiB, the page before it in RAM, and none behind the ROM.
    poke(guest, (TABLES + 5) * 4096, [0x20_0063n, 0x30_0063n, 0n]);
    const at = (gpa: number) => kernelVa(gpa);
    expect(guest.cpu.store(at(0x1ffe), 4, 0n)).toMatchObject({ vector: 14, errorCode: 2, cr2: at(0x2000) });
    expect(guest.mmio).toEqual([]);
    expect(guest.cpu.store(at(0xffe), 4, 0xaabb_ccddn)).toMatchObject(done);
    expect(word(guest, 0x20_0ffc) >>> 16).toBe(0xccdd);
    expect(guest.mmio).toEqual([0x30_0000]);
  });

  test('a store to a read-only slot is lost, and a read-modify-write gives what is there', () => {
    const guest = guestWithRom({ processor }, 0x300, 0x301);
    poke(guest, 0x30_0000, [0x1234n]);
    expect(guest.cpu.readModifyWrite(kernelVa(0x30_0000), 8, () => 0n)).toMatchObject({
      ...done,
      value: 0x1234n,
    });
    expect(guest.cpu.load(kernelVa(0x30_0000), 8)).toMatchObject({ value: 0x1234n });
    expect(guest.mmio).toEqual([0x30_0000]);
  });

  test('the dirty log has what the emulator stored', () => {
    const guest = emulatedGuest({ processor });
    const { backing = 0 } = guest.vm.slots[0] ?? {};
    const region = {
      slot: 0,
      flags: 1,
      guestPhysicalAddress: 0n,
      memorySize: BigInt(MEMORY_END) << 12n,
      userspaceAddress: BigInt(backing) << 12n,
    };
    expect(guest.vm.ioctls.setUserMemoryRegion(region)).toBe(0);
    guest.vm.ioctls.getDirtyLog(0);
    guest.cpu.store(kernelVa(MEMORY_END * 4096 - 4), 8, 1n);
    expect(guest.vm.ioctls.getDirtyLog(0)).toContain(MEMORY_END - 1);
  });
});

describe('rights and the emulator', () => {
  /** A hole, then a frame that is protected. */
  function protectedGuest(options: TestGuestOptions): TestGuest {
    const guest = createGuest(options);
    const { backing = 0 } = guest.vm.slots[0] ?? {};
    guest.vm.addMemory({ start: 0x4001 as Gfn, frames: 1, backing: (backing + 0x300) as Pfn });
    expect(guest.protect([range(0x4001, 0x4002, 1)])).toBe(0);
    return guest;
  }

  test('rfc-v2: a store that begins in a hole passes the rights of the page behind it (B-H12)', () => {
    const guest = protectedGuest({ profile: 'rfc-v2' });
    expect(guest.cpu.store(kernelVa(0x400_0ffc), 8, 0x1122_3344_5566_7788n)).toMatchObject(done);
    expect(word(guest, 0x30_0000)).toBe(0x1122_3344);
    expect(guest.cpu.storeBytes(kernelVa(0x400_0ffe), Uint8Array.of(1, 2, 3, 4))).toMatchObject(done);
    expect(word(guest, 0x30_0000)).toBe(0x1122_0403);
  });

  test.each([{}, { processor: AMD_ZEN4 }])('hardened: it is refused as any store is (%#)', (options) => {
    const guest = protectedGuest(options);
    const denied = { kind: 'exception', vector: 14, errorCode: 3, cr2: kernelVa(0x400_1000) };
    expect(guest.cpu.store(kernelVa(0x400_0ffc), 8, 0x1122_3344_5566_7788n)).toMatchObject(denied);
    expect(guest.cpu.storeBytes(kernelVa(0x400_0ffe), Uint8Array.of(1, 2, 3, 4))).toMatchObject(denied);
    expect(guest.cpu.readModifyWrite(kernelVa(0x400_0ffc), 8, () => 0n)).toMatchObject(denied);
    expect(word(guest, 0x30_0000)).toBe(0);
    expect(guest.of('denied').at(-1)?.denial).toMatchObject({
      access: 'write',
      linear: kernelVa(0x400_1000),
    });
    expect(guest.cpu.load(kernelVa(0x400_0ffc), 8)).toMatchObject({ ...done, value: 0xffff_ffffn });
  });

  test.each([
    ['rfc-v2', {}, done, done],
    ['hardened', {}, { vector: 14, errorCode: 0x11 }, done],
    ['hardened', { processor: AMD_ZEN4 }, { vector: 14, errorCode: 0x11 }, done],
    ['hardened', { mbec: false }, done, done],
    ['hardened', { nxHugePages: true }, { vector: 14, errorCode: 0x11 }, done],
  ] as const)(
    '%s %o: code is fetched by the rights of its page, whoever fetches',
    (profile, options, data, text) => {
      const guest = guestWithRom({ profile, ...options }, TABLES, TABLES + 8);
      expect(guest.protect([range(0x200, 0x201, 3), range(0x1000, 0x1001, 5)])).toBe(0);
      expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject(data);
      expect(guest.cpu.fetch(kernelVa(0x100_0000))).toMatchObject(text);
      // Memory without a request has the default.
      expect(guest.cpu.fetch(kernelVa(0x300_0000))).toMatchObject(profile === 'rfc-v2' ? done : data);
    },
  );

  test('a user page is code of the kernel that runs it on AMD, and user code on Intel', () => {
    for (const [options, outcome] of [
      [{}, done],
      [{ processor: AMD_ZEN4 }, { vector: 14, errorCode: 0x11 }],
    ] as const) {
      const guest = guestWithRom(options, TABLES, TABLES + 8);
      expect(guest.protect([range(0x200, 0x201, 3)])).toBe(0);
      guest.cpu.registers.cr4 &= ~CR4.SMEP;
      expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject(outcome);
      guest.cpu.registers.cpl = 3;
      expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject(done);
    }
  });

  test('hardened: flags are not set in a page table that may not be written', () => {
    const guest = emulatedGuest({});
    poke(guest, LEAF, [0x83n]);
    guest.protect([range(TABLES, TABLES + 4, 1)]);
    // The walk itself is refused: with accessed and dirty flags of EPT it is a write.
    expect(guest.cpu.load(kernelVa(0x400_0000), 8)).toMatchObject({ vector: 14, errorCode: 7 });
    expect(word(guest, LEAF)).toBe(0x83);
  });
});
