import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readVmlinuxSymbols } from './elf-symbols.ts';
import { KernelImageError } from './error.ts';
import { moveImage } from './moved-image.ts';
import { readVmlinuxRelocations } from './rela-relocations.ts';
import { fileOf, type PlainSection, relaEntries, symbolTable, withSections } from './testing/build-elf.ts';
import { buildVmlinux } from './testing/build-image.ts';
import { parseVmlinux } from './vmlinux.ts';

const LINKED = 0xffff_ffff_8100_0000n;
const PER_CPU_LOAD = LINKED + 0x1000n;
const ABSOLUTE = 0xfff1;
/** Numbers of the sections below. */
const [TEXT, PER_CPU, NOTES, BSS] = [1, 2, 3, 4];
const { entries, strings } = symbolTable([
  { name: '', value: 0n, section: 0, info: 0 },
  { name: '_stext', value: LINKED, section: TEXT },
  { name: 'local', value: LINKED + 8n, section: TEXT, info: 2 },
  { name: 'this_cpu_off', value: 0x40n, section: PER_CPU, info: 0x11 },
  { name: '__per_cpu_load', value: PER_CPU_LOAD, section: PER_CPU, info: 0x10 },
  { name: 'init_per_cpu__gdt_page', value: PER_CPU_LOAD + 0x10n, section: ABSOLUTE, info: 0x10 },
  { name: '__crc_printk', value: 0x1234_5678n, section: ABSOLUTE, info: 0x10 },
  { name: 'jiffies', value: LINKED + 0x2000n, section: BSS, info: 0x11 },
  { name: 'weak', value: LINKED + 4n, section: TEXT, info: 0x22 },
  { name: 'main.c', value: 0n, section: ABSOLUTE, info: 4 },
  { name: '', value: LINKED, section: TEXT, info: 3 },
  { name: 'undefined', value: 0n, section: 0, info: 0x10 },
]);
const [STEXT, THIS_CPU, LOAD, GDT, CRC] = [1, 3, 4, 5, 6];
const [R_64, R_PC32, R_PLT32, R_32, R_32S] = [1, 2, 4, 10, 11];

const rela = (
  section: number,
  ...list: readonly (readonly [at: bigint, type: number, symbol: number])[]
): PlainSection => ({
  name: '.rela',
  type: 4,
  bytes: relaEntries(list.map(([place, type, symbol]) => ({ place, type, symbol }))),
  link: 5,
  info: section,
});

const SECTIONS: readonly PlainSection[] = [
  { name: '.text', type: 1, flags: 6, address: LINKED },
  { name: '.data..percpu', type: 1, flags: 3 },
  { name: '.notes', type: 7, flags: 2, address: LINKED + 0x3000n },
  { name: '.bss', type: 8, flags: 3, address: LINKED + 0x2000n },
  { name: '.symtab', type: 2, bytes: entries, link: 6 },
  { name: '.strtab', type: 3, bytes: strings },
  { name: '.debug_info', type: 1 },
  rela(
    TEXT,
    [LINKED, R_64, STEXT],
    [LINKED + 0x10n, R_32S, STEXT],
    [LINKED + 0x14n, R_32, GDT],
    [LINKED + 0x18n, R_PC32, STEXT],
    [LINKED + 0x1cn, R_PLT32, STEXT],
    [LINKED + 0x20n, R_PC32, THIS_CPU],
    [LINKED + 0x28n, R_64, THIS_CPU],
    [LINKED + 0x30n, R_32S, THIS_CPU],
    [LINKED + 0x38n, R_64, CRC],
    [LINKED + 0x40n, R_64, LOAD],
    [LINKED + 0x48n, R_PC32, LOAD],
  ),
  rela(PER_CPU, [0x8n, R_64, STEXT]),
  rela(NOTES, [LINKED + 0x3000n, R_64, STEXT]),
  rela(7, [0x100n, R_64, STEXT]),
];

/** A page of text with the template of the CPUs' variables behind it. */
const image = buildVmlinux([
  { at: 0x100_0000, bytes: new Uint8Array(0x100), flags: 5 },
  { at: 0x100_1000, bytes: new Uint8Array(0x100), flags: 7 },
]);
const whole = withSections(image, SECTIONS);
const signed = (address: bigint) => Number(BigInt.asIntN(64, address));

describe('the relocations that the linker left in a vmlinux', () => {
  it('are addresses of the image, and distances to variables of CPUs', () => {
    const { words, halves, inverse } = readVmlinuxRelocations(fileOf(whole)) ?? {};
    expect([...(words ?? [])]).toEqual([LINKED, LINKED + 0x40n, PER_CPU_LOAD + 8n].map(signed));
    expect([...(halves ?? [])]).toEqual([LINKED + 0x10n, LINKED + 0x14n].map(signed));
    expect([...(inverse ?? [])]).toEqual([LINKED + 0x20n].map(signed));
  });

  it('leave the variables of CPUs that are linked with all else as they are (Linux 6.15)', () => {
    const linked = SECTIONS.map((section) =>
      section.name === '.data..percpu' ? { ...section, address: PER_CPU_LOAD } : section,
    );
    expect(readVmlinuxRelocations(fileOf(withSections(image, linked)))?.inverse).toEqual(new Int32Array());
  });

  it('move an image as the table behind one does', () => {
    const relocations = readVmlinuxRelocations(fileOf(whole));
    const { segments } = moveImage({ ...parseVmlinux(whole), relocations }, 0x20_0000);
    const at = (segment: number, offset: number) =>
      new DataView(segments[segment]?.bytes.slice().buffer ?? new ArrayBuffer(0)).getBigUint64(offset, true);
    expect(at(0, 0)).toBe(0x20_0000n);
    expect(at(0, 0x10)).toBe(0x20_0000_0020_0000n);
    expect(at(0, 0x18)).toBe(0n);
    expect(at(0, 0x20)).toBe(0x1_0000_0000n - 0x20_0000n);
    expect(at(1, 8)).toBe(0x20_0000n);
  });

  it('are none where there are no such sections, or no symbols', () => {
    expect(readVmlinuxRelocations(fileOf(image))).toBeUndefined();
    expect(readVmlinuxRelocations(fileOf(withSections(image, SECTIONS.slice(0, 7))))).toBeUndefined();
    const stripped = SECTIONS.map((section) => (section.type === 2 ? { ...section, type: 1 } : section));
    expect(readVmlinuxRelocations(fileOf(withSections(image, stripped)))).toBeUndefined();
  });
});

describe('the symbols of a vmlinux', () => {
  it('are those with a name of their own, with the letters of nm', () => {
    const symbols = readVmlinuxSymbols(fileOf(whole)) ?? [];
    expect(symbols.map(({ name, type }) => `${type} ${name}`)).toEqual([
      'T _stext',
      't local',
      'D this_cpu_off',
      'D __per_cpu_load',
      'A init_per_cpu__gdt_page',
      'A __crc_printk',
      'B jiffies',
      'W weak',
    ]);
    expect(symbols[0]?.address).toBe(LINKED);
  });

  it('are none where it was stripped', () => {
    expect(readVmlinuxSymbols(fileOf(image))).toBeUndefined();
  });
});

it('a file that is damaged anywhere is read or refused', () => {
  const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), fc.nat(whole.length), (changes, length) => {
      const bytes = whole.slice(0, Math.max(64, length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      for (const read of [readVmlinuxSymbols, readVmlinuxRelocations]) {
        try {
          read(fileOf(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(KernelImageError);
        }
      }
    }),
    { numRuns: 1000 },
  );
});
