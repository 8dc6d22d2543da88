import type { Gfn, Gpa, Pfn, VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4, EFER, INTEL_SKYLAKE } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createKvm } from '../kvm.ts';
import { createGuest, kernelVa, range, type TestGuest, type TestGuestOptions } from '../testing/guest.ts';
import type { LinearRange } from './options.ts';

const R = 1;
const RW = 3;
const RX = 5;
const IMMUTABLE = 8;
const PRESENT = 1n;
const WRITABLE = 2n;
const FLAGS = 0x60n;
const XD = 1n << 63n;
/** Where host frame 0 of the guest is. */
const BACKING = 0x10_0000;
/** Guest frames of the tables: roots of 5 and 4 levels, then those that the text area has. */
const [PML5, PML4, PDPT, PD, PT] = [0x0ff, 0x100, 0x101, 0x102, 0x103] as const;
const [DIRECT, ENTRY_PDPT, ENTRY_PD, ENTRY_PT, USER_ROOT] = [0x104, 0x105, 0x106, 0x107, 0x108] as const;
const [TEXT, OTHER_TEXT, RODATA, DATA, MODULE, TABLES, ENTRY_AREA] = [
  0x200, 0x201, 0x300, 0x400, 0x500, 0x600, 0x700,
] as const;
/** What each page of the kernel's image maps, by its place. */
const IMAGE = [TEXT, OTHER_TEXT, RODATA, DATA, MODULE, TABLES] as const;
const ENTRY_AREA_VA = 0xffff_fe00_0000_0000n as VirtualAddress;
/** The upper 2 GiB: the image and modules, without the direct map. */
const IMAGE_AREA: LinearRange = {
  start: (2 ** 52 - 2 ** 19) as LinearRange['start'],
  end: (2 ** 52) as LinearRange['end'],
};

/** Page `place` of the kernel's image. */
const va = (place: number): VirtualAddress =>
  (0xffff_ffff_8100_0000n + BigInt(place) * 0x1000n) as VirtualAddress;
const entry = (gfn: number, bits: bigint): bigint => (BigInt(gfn) << 12n) | bits;
const first = (gfn: number): number => gfn % 256;

/** A guest with a kernel's image in 4-KiB pages and a direct map, whose first byte of each frame tells it. */
function kernel(options: TestGuestOptions = {}): TestGuest {
  const guest = createGuest(options);
  const { ram, cpu } = guest;
  const put = (gfn: number, index: number, value: bigint): void => {
    const page = ram.writablePage((BACKING + gfn) as Pfn);
    page?.set([Number(value % 2n ** 32n), Number(value >> 32n)], 2 * index);
  };
  const table = PRESENT | WRITABLE | 0x20n;
  put(PML5, 511, entry(PML4, table));
  put(PML4, 511, entry(PDPT, table));
  put(PDPT, 510, entry(PD, table));
  put(PD, 8, entry(PT, table));
  put(PML4, 273, entry(DIRECT, table));
  put(DIRECT, 0, PRESENT | WRITABLE | FLAGS | 0x80n | XD);
  put(PML4, 508, entry(ENTRY_PDPT, table));
  put(ENTRY_PDPT, 0, entry(ENTRY_PD, table));
  put(ENTRY_PD, 0, entry(ENTRY_PT, table));
  put(ENTRY_PT, 0, entry(ENTRY_AREA, PRESENT | WRITABLE | FLAGS | XD));
  for (const [place, gfn] of IMAGE.entries()) {
    put(
      PT,
      place,
      entry(
        gfn,
        PRESENT | FLAGS | (gfn === TEXT || gfn === OTHER_TEXT || gfn === MODULE ? 0n : WRITABLE | XD),
      ),
    );
  }
  for (const gfn of [...IMAGE, ENTRY_AREA]) put(gfn, 0, BigInt(gfn));
  const isFive = (cpu.registers.cr4 & CR4.LA57) !== 0n;
  cpu.registers.cr3 = BigInt(isFive ? PML5 : PML4) << 12n;
  return guest;
}

function protectedKernel(hlat: TestGuestOptions['hlat'], more: TestGuestOptions = {}): TestGuest {
  const guest = kernel({ ...more, ...(hlat === undefined ? {} : { hlat }) });
  expect(guest.protect([range(TEXT, TEXT + 2, RX), range(RODATA, RODATA + 1, R)])).toBe(0);
  return guest;
}

/** The attacker stores to the page table through the direct map and flushes. */
function remap({ cpu }: TestGuest, place: number, gfn: number, bits = 0n): void {
  const at = kernelVa(PT * 4096 + place * 8);
  expect(cpu.store(at, 8, entry(gfn, PRESENT | FLAGS | bits)).kind).toBe('done');
  cpu.invlpg(va(place));
}

/** The byte that a fetch or a load gets, or how it ends. */
function byteAt({ cpu }: TestGuest, how: 'fetch' | 'load', address: VirtualAddress): number | string {
  const outcome = how === 'fetch' ? cpu.fetch(address, 1) : cpu.load(address, 1);
  if (outcome.kind !== 'done') return outcome.kind;
  return typeof outcome.value === 'bigint' ? Number(outcome.value) : (outcome.value[0] ?? -1);
}

describe('remapping of listed addresses', () => {
  test.each([
    ['without HLAT', undefined, first(OTHER_TEXT), first(DATA)],
    ['with HLAT', true, first(TEXT), first(RODATA)],
    ['with HLAT and no verification', { verification: false }, first(TEXT), first(RODATA)],
  ] as const)('%s: text goes to other code, rodata to data', (_name, hlat, text, rodata) => {
    const guest = protectedKernel(hlat);
    remap(guest, 0, OTHER_TEXT);
    expect(byteAt(guest, 'fetch', va(0))).toBe(text);
    remap(guest, 2, DATA, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(2))).toBe(rodata);
  });

  test('an address that is not listed can be mapped anew', () => {
    const guest = protectedKernel(true);
    remap(guest, 3, TABLES, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(3))).toBe(first(TABLES));
  });

  test('a later request cannot approve another mapping of an address that is listed', () => {
    const guest = protectedKernel(true);
    remap(guest, 0, OTHER_TEXT);
    guest.protect([range(OTHER_TEXT, OTHER_TEXT + 1, RX)]);
    expect(byteAt(guest, 'fetch', va(0))).toBe(first(TEXT));
    expect(guest.vm.hlat?.unlisted).toBe(1);
  });

  test('a frame that is executed at one address cannot be had at another by asking again, granted or refused', () => {
    for (const [before, answer] of [
      [RX, 0],
      [RX | IMMUTABLE, -1],
    ] as const) {
      const guest = protectedKernel(true);
      guest.protect([range(TEXT, TEXT + 2, before)]);
      remap(guest, 3, TEXT);
      expect(guest.protect([range(TEXT, TEXT + 1, RX)])).toBe(answer);
      expect(byteAt(guest, 'fetch', va(3))).toBe('exception');
      expect(byteAt(guest, 'fetch', va(0))).toBe(first(TEXT));
    }
  });

  test('a frame that was mapped as code elsewhere before it became code is executed nowhere', () => {
    const guest = protectedKernel(true);
    remap(guest, 3, MODULE);
    remap(guest, 4, MODULE, XD);
    // Made read-only first, which makes no code of it, then code.
    expect(guest.protect([range(MODULE, MODULE + 1, R)])).toBe(0);
    remap(guest, 4, MODULE);
    expect(guest.protect([range(MODULE, MODULE + 1, RX)])).toBe(0);
    for (const place of [3, 4]) {
      expect(byteAt(guest, 'load', va(place))).toBe(first(MODULE));
      expect(byteAt(guest, 'fetch', va(place))).toBe('exception');
    }
  });

  test('a page stays where it is executed, whatever the guest’s own entry says when somebody asks again', () => {
    const guest = protectedKernel(true);
    guest.protect([range(MODULE, MODULE + 1, RX)]);
    remap(guest, 4, MODULE, XD);
    remap(guest, 3, MODULE);
    for (let again = 0; again < 2; again++) expect(guest.protect([range(MODULE, MODULE + 1, RX)])).toBe(0);
    expect(byteAt(guest, 'fetch', va(4))).toBe(first(MODULE));
    expect(byteAt(guest, 'fetch', va(3))).toBe('exception');
  });

  test('a table that the processor is pointed at later is not listed as one', () => {
    const guest = protectedKernel(true);
    guest.cpu.registers.gdtr = { base: va(5), limit: 0x4f };
    guest.protect([range(MODULE, MODULE + 1, R)]);
    remap(guest, 5, DATA, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(5))).toBe(first(DATA));
  });

  test.each([
    ['ends before it begins', range(TEXT + 1, TEXT, RX)],
    ['lies beyond all guest frames', range(2 ** 40 + TEXT, 2 ** 40 + TEXT + 1, RX)],
  ])('a range that %s is refused, and lists nothing', (_, wrong) => {
    const guest = protectedKernel(true);
    const listed = guest.vm.hlat?.pages.size;
    expect(guest.protect([range(MODULE, MODULE + 1, RX), wrong])).toBe(-22);
    expect(guest.vm.hlat?.pages.size).toBe(listed);
  });

  test.each([4, 5] as const)('%i levels', (levels) => {
    const guest = kernel({
      hlat: true,
      ...(levels === 5 ? { registers: { cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.LA57 } } : {}),
    });
    guest.protect([range(TEXT, TEXT + 2, RX)]);
    expect(guest.vm.hlat?.levels).toBe(levels);
    remap(guest, 0, OTHER_TEXT);
    expect(byteAt(guest, 'fetch', va(0))).toBe(first(TEXT));
  });

  test('what the processor reads is listed with its mapping: IDT, GDT, TSS and the cpu_entry_area', () => {
    const guest = kernel({ hlat: true });
    const { cpu } = guest;
    cpu.registers.gdtr = { base: va(5), limit: 0x4f };
    // Selector 0x40: a TSS at the data page, limit 0x67 (SDM 3A 8.2.3).
    const base = va(3);
    const low = 0x67n | ((base & 0xff_ffffn) << 16n) | (0x89n << 40n) | (((base >> 24n) & 0xffn) << 56n);
    cpu.store(kernelVa(TABLES * 4096 + 0x40), 8, low);
    cpu.store(kernelVa(TABLES * 4096 + 0x48), 8, (base >> 32n) & 0xffff_ffffn);
    cpu.registers.tr = 0x40;
    guest.protect([range(RODATA, RODATA + 1, R)]);
    remap(guest, 5, DATA, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(5))).toBe(first(TABLES));
    remap(guest, 3, TABLES, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(3))).toBe(first(DATA));
    cpu.store(kernelVa(ENTRY_PT * 4096), 8, entry(DATA, PRESENT | FLAGS));
    cpu.invlpg(ENTRY_AREA_VA);
    expect(byteAt(guest, 'load', ENTRY_AREA_VA)).toBe(first(ENTRY_AREA));
    // Its frame is data: that it is asked for as such changes nothing.
    guest.protect([range(ENTRY_AREA, ENTRY_AREA + 1, RW)]);
    expect(byteAt(guest, 'load', ENTRY_AREA_VA)).toBe(first(ENTRY_AREA));
  });
});

describe('each piece', () => {
  /** The other text at an address that is not listed. */
  const aliased = (hlat: TestGuestOptions['hlat']): number | string => {
    const guest = protectedKernel(hlat);
    remap(guest, 20, OTHER_TEXT);
    return byteAt(guest, 'fetch', va(20));
  };

  test('verification: text is not executed at an address that is not listed', () => {
    expect(aliased(true)).toBe('exception');
    expect(aliased({ verification: false })).toBe(first(OTHER_TEXT));
    expect(aliased(undefined)).toBe(first(OTHER_TEXT));
  });

  test('paging-write on the owner’s tables alone: other tables are not taken for its own', () => {
    expect(aliased({ pagingWrite: 'everywhere' })).toBe(first(OTHER_TEXT));
  });

  test.each([
    ['own-tables', 0],
    ['everywhere', 0x20],
  ] as const)('paging-write on %s: what a walk from a read-only page writes there', (pagingWrite, flag) => {
    const guest = kernel({ hlat: { pagingWrite } });
    // The page looks like a root: a table for the direct map, not yet accessed.
    guest.cpu.store(kernelVa(RODATA * 4096 + 273 * 8), 8, entry(DIRECT, PRESENT | WRITABLE));
    guest.protect([range(RODATA, RODATA + 1, R)]);
    guest.cpu.registers.cr3 = BigInt(RODATA) << 12n;
    const outcome = guest.cpu.load(kernelVa(DATA * 4096), 1);
    expect(outcome.kind === 'done').toBe(flag !== 0);
    expect((guest.ram.page((BACKING + RODATA) as Pfn)?.[2 * 273] ?? 0) & 0x20).toBe(flag);
  });

  test('paging-write: without it no walk can read the owner’s tables, and the guest dies', () => {
    const guest = protectedKernel({ pagingWrite: 'none' });
    const outcome = guest.cpu.load(va(3), 1);
    expect(outcome).toMatchObject({ kind: 'stopped', why: expect.stringContaining('qualification 0x08b') });
  });

  test('restart: without it what is not listed is not there, error code 0x80', () => {
    const guest = protectedKernel({ restart: false });
    expect(byteAt(guest, 'fetch', va(0))).toBe(first(TEXT));
    expect(guest.cpu.load(va(3), 1)).toMatchObject({
      kind: 'exception',
      vector: 14,
      errorCode: 0x80,
      cr2: va(3),
    });
  });

  test('the owner’s tables cannot be stored to, and no slot can lie over them', () => {
    const guest = protectedKernel(true);
    const root = Number((guest.cpu.controls.hlat?.pointer ?? 0) / 4096);
    remap(guest, 21, root, WRITABLE | XD);
    const before = guest.cpu.load(va(21), 8);
    expect(before.kind).toBe('done');
    expect(guest.cpu.store(va(21), 8, 0n).kind).toBe('exception');
    expect(guest.cpu.load(va(21), 8)).toEqual(before);
    expect(() => guest.vm.addMemory({ start: root as Gfn, frames: 1, backing: 0x10_4000 as Pfn })).toThrow();
    expect(guest.vm.write('dma', (root * 4096) as Gpa, Uint8Array.of(0)).ok).toBe(false);
  });
});

describe('legitimate work', () => {
  test('text is read through the direct map if HLAT lists that too, and otherwise refused and counted', () => {
    const guest = protectedKernel(true);
    expect(byteAt(guest, 'load', kernelVa(TEXT * 4096))).toBe(first(TEXT));
    const strict = protectedKernel({ areas: [IMAGE_AREA] });
    expect(byteAt(strict, 'load', va(0))).toBe(first(TEXT));
    expect(byteAt(strict, 'load', kernelVa(TEXT * 4096))).toBe('exception');
    expect(strict.vm.statistics.verificationDenials).toBe(1);
    expect(byteAt(strict, 'load', kernelVa(DATA * 4096))).toBe(first(DATA));
  });

  test('the address of a module that was unloaded can be used again, and every virtual CPU forgets', () => {
    const guest = protectedKernel(true);
    const other = guest.addCpu();
    other.registers.cr3 = BigInt(PML4) << 12n;
    // The other one still has the page that was there before.
    remap(guest, 4, DATA);
    expect(other.load(va(4), 1)).toMatchObject({ value: BigInt(first(DATA)) });
    guest.cpu.store(kernelVa(PT * 4096 + 4 * 8), 8, entry(MODULE, PRESENT | FLAGS));
    guest.protect([range(MODULE, MODULE + 1, RX)]);
    expect(other.load(va(4), 1)).toMatchObject({ value: BigInt(first(MODULE)) });
    remap(guest, 4, OTHER_TEXT);
    expect(byteAt(guest, 'fetch', va(4))).toBe(first(MODULE));
    guest.protect([range(MODULE, MODULE + 1, RW)]);
    remap(guest, 4, DATA, WRITABLE | XD);
    expect(byteAt(guest, 'load', va(4))).toBe(first(DATA));
    expect(other.load(va(4), 1)).toMatchObject({ value: BigInt(first(DATA)) });
  });

  test('a page that becomes executable after it was protected is executed: its rights follow the guest’s mapping', () => {
    const guest = protectedKernel(true);
    remap(guest, 4, MODULE, XD);
    guest.protect([range(MODULE, MODULE + 1, R)]);
    expect(byteAt(guest, 'fetch', va(4))).toBe('exception');
    remap(guest, 4, MODULE);
    guest.protect([range(MODULE, MODULE + 1, RX)]);
    expect(byteAt(guest, 'fetch', va(4))).toBe(first(MODULE));
  });

  test('a user root without the kernel does not unmap what is listed: page-table isolation is undone for it', () => {
    for (const [hlat, wanted] of [[undefined, 'exception'] as const, [true, first(TEXT)] as const]) {
      const guest = protectedKernel(hlat);
      guest.cpu.registers.cr3 = BigInt(USER_ROOT) << 12n;
      expect(byteAt(guest, 'load', va(0))).toBe(wanted);
      expect(byteAt(guest, 'load', va(3))).toBe('exception');
      guest.cpu.registers.cpl = 3;
      expect(guest.cpu.load(va(0), 1)).toMatchObject({ errorCode: hlat === true ? 5 : 4 });
    }
  });

  test('a guest inside the guest is refused', () => {
    const guest = protectedKernel(true);
    expect(guest.vm.enterNested(guest.cpu, BigInt(PML4 * 4096) | 0x1en)).toBe(false);
  });
});

test('a processor that starts with another number of levels is refused: the tables would list nothing', () => {
  const guest = protectedKernel(true);
  const other = guest.addCpu();
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  other.wrmsr(0xc000_0080, EFER.LME | EFER.NXE);
  expect(other.movToCr(4, CR4.PAE | CR4.LA57).kind).toBe('done');
  expect(other.movToCr(3, BigInt(PML5) << 12n).kind).toBe('done');
  expect(other.movToCr(0, CR0.PG | CR0.PE)).toMatchObject({ kind: 'exception', vector: 13 });
  expect(guest.of('denied').at(-1)).toMatchObject({ denial: { kind: 'register', register: 'cr0' } });
  expect(other.movToCr(4, CR4.PAE).kind).toBe('done');
  expect(other.movToCr(0, CR0.PG | CR0.PE).kind).toBe('done');
});

test('what is listed goes with a saved state, and a reset forgets it', () => {
  const guest = protectedKernel(true);
  const state = guest.vm.save();
  const twin = kernel({ hlat: true });
  if (state !== undefined) expect(twin.vm.restore(state)).toBe(true);
  expect(twin.vm.save()).toEqual(state);
  remap(twin, 0, OTHER_TEXT);
  expect(byteAt(twin, 'fetch', va(0))).toBe(first(TEXT));
  twin.vm.lifeCycle({ kind: 'reset' });
  expect(twin.vm.hlat).toMatchObject({ levels: undefined, tablePages: 0 });
  expect(twin.cpu.controls.hlat).toBeUndefined();
  expect(() =>
    kernel().vm.restore(
      state ?? {
        ranges: [],
        otherwise: { read: true, write: true, supervisorExecute: true, userExecute: true },
        cr0: 0n,
        cr4: 0n,
      },
    ),
  ).toThrow(/own\.hlat/);
});

test('what has no room for a table is reported, and goes through CR3 as before', () => {
  const guest = kernel({ hlat: true });
  while (guest.frames.freeFrames > 6) guest.frames.allocate();
  guest.protect([range(TEXT, TEXT + 2, RX)]);
  expect(guest.vm.hlat?.unlisted).toBeGreaterThan(0);
});

test('a processor without it is refused with its name', () => {
  expect(() => createKvm({ hlat: true, processor: INTEL_SKYLAKE })).toThrow(/intel-skylake/);
});
