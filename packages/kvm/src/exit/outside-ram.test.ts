import type { Gfn, Pfn, VirtualAddress } from '@heki/physical-memory';
import { type Outcome, Vector } from '@heki/vcpu';
import { AMD_ZEN4, type CpuProfile, CR4, EFER, INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createGuest, kernelVa, poke, userVa } from '../testing/guest.ts';

const { ept } = INTEL_VT_RP;
if (ept === undefined) throw new TypeError('the processor has EPT');
const PROCESSORS: readonly (readonly [string, CpuProfile])[] = [
  ['EPT with accessed and dirty flags', INTEL_VT_RP],
  ['EPT without them', { ...INTEL_VT_RP, ept: { ...ept, accessedDirty: false } }],
  ['EPT without MBEC', INTEL_HASWELL],
  ['nested paging', AMD_ZEN4],
];

const BASE = 0xffff_a000_0000_0000n;
const at = (offset: number) => (BASE + BigInt(offset)) as VirtualAddress;
/** Frames of the tables that translate BASE, the root first, and the index of the entry in each. */
const TABLES = [0x40, 0x100, 0x101, 0x102] as const;
const INDEX = [320, 0, 0, 0] as const;
const END = 0x4000;
const ROM = 0x300;
const NOWHERE = 0x9000;
const PRESENT = 3n;
const ACCESSED_DIRTY = 0x60n;

/** What page i of BASE is: RAM, ROM, no slot, or no page. */
type Kind = 'ram' | 'rom' | 'hole' | 'none';

/**
 * A guest whose kernel has small pages at BASE. `roms`: frames beside ROM that lie in read-only slots; `lost`: the level of the table, 3 to 1, that its
 * parent puts into no slot.
 */
function guestWith(
  processor: CpuProfile,
  pages: readonly Kind[],
  { roms = [] as readonly number[], lost = 0, flags = ACCESSED_DIRTY } = {},
) {
  const mmio: number[] = [];
  const guest = createGuest({
    processor,
    vmm: { onExit: (exit) => void (exit.reason === 'mmio' && mmio.push(exit.gpa)) },
  });
  const { vm } = guest;
  const { backing = 0 } = vm.slots[0] ?? {};
  const entry = (gfn: number): bigint => (BigInt(gfn) << 12n) | PRESENT | flags;
  for (let i = 0; i < 3; i++) {
    const child = lost === 3 - i ? NOWHERE : (TABLES[i + 1] ?? 0);
    poke(guest, (TABLES[i] ?? 0) * 4096 + 8 * (INDEX[i] ?? 0), [entry(child)]);
  }
  const frameOf = (i: number): number =>
    ({ ram: 0x200 + i, rom: ROM, hole: END + i, none: 0 })[pages[i] ?? 'none'];
  for (const [i, kind] of pages.entries()) {
    poke(guest, TABLES[3] * 4096 + 8 * i, [kind === 'none' ? 0n : entry(frameOf(i))]);
  }
  vm.removeMemory(0 as Gfn);
  let from = 0;
  const slot = (to: number, readOnly: boolean): void => {
    if (to > from)
      vm.addMemory({ start: from as Gfn, frames: to - from, backing: (backing + from) as Pfn, readOnly });
    from = to;
  };
  for (const rom of [...new Set([...roms, ROM])].sort((a, b) => a - b)) {
    slot(rom, false);
    slot(rom + 1, true);
  }
  slot(END, false);
  const word = (gfn: number, index: number): number => guest.ram.page((backing + gfn) as Pfn)?.[index] ?? 0;
  /** The low 12 bits of the entries that translate BASE. */
  const flagsOf = (): number[] => TABLES.map((table, i) => word(table, 2 * (INDEX[i] ?? 0)) & 0xfff);
  return { ...guest, mmio, word, flagsOf, frameOf };
}

const DONE = { kind: 'done', value: undefined };
const fault = (errorCode: number, cr2: VirtualAddress) => ({
  kind: 'exception',
  vector: 14,
  errorCode,
  cr2,
  fixedUp: false,
});
const emulationFailed = {
  kind: 'stopped',
  why: expect.stringContaining('KVM_EXIT_INTERNAL_ERROR (emulation)'),
};

describe.each(PROCESSORS)('%s', (_name, processor) => {
  test('tables of any level in read-only slots translate, and alone keep their flags', () => {
    for (const flags of [ACCESSED_DIRTY, 0n]) {
      for (let mask = 1; mask < 16; mask++) {
        const roms = TABLES.filter((_, i) => (mask & (1 << i)) !== 0);
        const { cpu, flagsOf, word, mmio } = guestWith(processor, ['ram'], { roms, flags });
        expect(cpu.load(at(0), 8)).toEqual({ kind: 'done', value: 0n });
        expect(cpu.store(at(8), 4, 0x55n)).toEqual(DONE);
        expect(cpu.fetch(at(8), 2)).toEqual({ kind: 'done', value: Uint8Array.of(0x55, 0) });
        expect(word(0x200, 2)).toBe(0x55);
        const kept = Number(PRESENT | flags);
        const set = [0x23, 0x23, 0x23, 0x63];
        expect(flagsOf()).toEqual(set.map((now, i) => ((mask & (1 << i)) !== 0 ? kept : now | kept)));
        expect(mmio).toEqual([]);
      }
    }
  });

  test('a table of any level in no slot ends the walk as a page that is not present does', () => {
    for (const lost of [3, 2, 1]) {
      for (const cpl of [0, 3] as const) {
        const { cpu, mmio } = guestWith(processor, ['ram'], { lost });
        cpu.registers.cpl = cpl;
        const user = cpl === 3 ? 4 : 0;
        const bytes = Uint8Array.of(1, 2);
        expect(cpu.load(at(0x123), 8)).toEqual(fault(user, at(0x123)));
        expect(cpu.store(at(0x123), 8, 1n)).toEqual(fault(user | 2, at(0x123)));
        expect(cpu.readModifyWrite(at(0x123), 8, (old) => old)).toEqual(fault(user | 2, at(0x123)));
        expect(cpu.loadBytes(at(0x123), 2)).toEqual(fault(user, at(0x123)));
        expect(cpu.storeBytes(at(0x123), bytes)).toEqual(fault(user | 2, at(0x123)));
        expect(cpu.fetch(at(0x123))).toEqual(fault(user | 0x10, at(0x123)));
        // Nothing says that it was a fetch where fetches are as good as loads (SDM 3A 4.7).
        cpu.registers.cpl = 0;
        cpu.registers.cr4 &= ~CR4.SMEP;
        cpu.registers.efer &= ~EFER.NXE;
        cpu.registers.cpl = cpl;
        expect(cpu.fetch(at(0x123))).toEqual(fault(user, at(0x123)));
        expect(mmio).toEqual([]);
      }
    }
  });

  test('user code outside every slot is #UD, and does not end the VM', () => {
    const { cpu } = createGuest({ processor });
    const last = END * 4096 - 1;
    cpu.registers.cpl = 3;
    for (const place of [last + 1, last]) {
      expect(cpu.fetch(userVa(place), 2)).toMatchObject({ kind: 'exception', vector: Vector.UD });
    }
    expect(cpu.fetch(userVa(last), 1)).toMatchObject({ kind: 'done' });
    cpu.registers.cpl = 0;
    expect(cpu.fetch(kernelVa(last), 2)).toEqual(emulationFailed);
  });

  test('a fetch across two pages ends with the first of them that has no code', () => {
    const outcome = (first: Kind, second: Kind): Outcome<Uint8Array> =>
      guestWith(processor, [first, second]).cpu.fetch(at(0xffe), 4);
    const code = { kind: 'done', value: new Uint8Array(4) };
    const missing = (page: number) => fault(0x10, at(page === 0 ? 0xffe : 0x1000));
    const executable: readonly Kind[] = ['ram', 'rom'];
    for (const first of executable) {
      for (const second of executable) expect(outcome(first, second)).toEqual(code);
      expect(outcome(first, 'hole')).toEqual(emulationFailed);
      expect(outcome(first, 'none')).toEqual(missing(1));
      expect(outcome('hole', first)).toEqual(emulationFailed);
      expect(outcome('none', first)).toEqual(missing(0));
    }
    expect(outcome('hole', 'none')).toEqual(emulationFailed);
    expect(outcome('none', 'hole')).toEqual(missing(0));
    // The end of RAM is code as any.
    expect(guestWith(processor, ['ram', 'hole']).cpu.fetch(at(0xffe), 2)).toEqual({
      kind: 'done',
      value: new Uint8Array(2),
    });
  });

  test('an access across two pages does its part in RAM, and tells the VMM of the rest, unless it faults', () => {
    const kinds: readonly Kind[] = ['ram', 'rom', 'hole', 'none'];
    for (const first of kinds) {
      for (const second of kinds) {
        const pair = [first, second];
        const absent = pair.indexOf('none');
        const cr2 = at(absent === 0 ? 0xffc : 0x1000);
        const start = [0xffc, 0];
        const built = guestWith(processor, pair);
        const { cpu, mmio, word, frameOf } = built;
        const words = (): number[] => [word(frameOf(0), 1023), word(frameOf(1), 0)];
        const told = (devices: readonly Kind[]): number[] =>
          pair.flatMap((kind, i) =>
            devices.includes(kind as Kind) ? [frameOf(i) * 4096 + (start[i] ?? 0)] : [],
          );
        const parts = (value: bigint): number[] => [Number(value & 0xffff_ffffn), Number(value >> 32n)];
        const value = 0x1122_3344_5566_7788n;
        // A store.
        expect(cpu.store(at(0xffc), 8, value)).toEqual(absent < 0 ? DONE : fault(2, cr2));
        const stored = pair.map((kind, i) => (absent < 0 && kind === 'ram' ? (parts(value)[i] ?? 0) : 0));
        expect(words()).toEqual(stored);
        expect(mmio.splice(0)).toEqual(absent < 0 ? told(['hole', 'rom']) : []);
        // A load.
        const read = BigInt.asUintN(
          64,
          pair.reduce((sum, kind, i) => {
            return sum | (BigInt(kind === 'hole' ? 0xffff_ffff : (stored[i] ?? 0)) << BigInt(32 * i));
          }, 0n),
        );
        expect(cpu.load(at(0xffc), 8)).toEqual(absent < 0 ? { kind: 'done', value: read } : fault(0, cr2));
        expect(mmio.splice(0)).toEqual(absent < 0 ? told(['hole']) : []);
        // A read-modify-write reads all of it, and then stores what a store does.
        expect(cpu.readModifyWrite(at(0xffc), 8, (old) => ~old)).toEqual(
          absent < 0 ? { kind: 'done', value: read } : fault(2, cr2),
        );
        const flipped = stored.map((old, i) => (absent < 0 && pair[i] === 'ram' ? ~old >>> 0 : old));
        expect(words()).toEqual(flipped);
        expect(mmio.splice(0)).toEqual(absent < 0 ? [...told(['hole']), ...told(['hole', 'rom'])] : []);
        // A string keeps what it did before a page that is not there.
        const source = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
        const reached = absent < 0 ? 2 : absent;
        expect(cpu.storeBytes(at(0xffc), source)).toEqual(absent < 0 ? DONE : fault(2, cr2));
        const moved = [0x0403_0201, 0x0807_0605];
        expect(words()).toEqual(
          flipped.map((old, i) => (i < reached && pair[i] === 'ram' ? (moved[i] ?? 0) : old)),
        );
      }
    }
  });

  test('a TSS in a read-only slot is loaded, and stays available there; one in no slot cannot be', () => {
    const rom = guestWith(processor, ['rom']);
    poke(rom, ROM * 4096 + 0x40, [0x8900_0000_0067n, 0n]);
    rom.cpu.registers.gdtr = { base: at(0), limit: 0x7f };
    expect(rom.cpu.ltr(0x40)).toEqual(DONE);
    expect(rom.cpu.registers.tr).toBe(0x40);
    expect(rom.word(ROM, 0x11)).toBe(0x8900);
    expect(rom.mmio).toHaveLength(1);
    const hole = guestWith(processor, ['hole']);
    hole.cpu.registers.gdtr = { base: at(0), limit: 0x7f };
    expect(hole.cpu.ltr(0x40)).toEqual(emulationFailed);
  });
});

test('the dirty log has a table whose flags were set for an access that is emulated, and none whose flags were set before', () => {
  const [, processor] = PROCESSORS[1] ?? ['', INTEL_VT_RP];
  for (const [flags, dirty] of [
    [0n, true],
    [ACCESSED_DIRTY, false],
  ] as const) {
    const { vm, cpu } = guestWith(processor, ['ram', 'hole'], { flags });
    const region = {
      slot: 0,
      flags: 1,
      guestPhysicalAddress: 0n,
      memorySize: BigInt(ROM) << 12n,
      userspaceAddress: BigInt(vm.slots[0]?.backing ?? 0) << 12n,
    };
    expect(vm.ioctls.setUserMemoryRegion(region)).toBe(0);
    vm.preFault(0 as Gfn, ROM as Gfn);
    vm.ioctls.getDirtyLog(0);
    expect(cpu.load(at(0x1000), 4)).toEqual({ kind: 'done', value: 0xffff_ffffn });
    const log = vm.ioctls.getDirtyLog(0);
    expect(typeof log === 'number' ? log : [...log].includes(TABLES[3] as number as Gfn)).toBe(dirty);
  }
});
