import { type Gpa, PHYSICAL_ADDRESS_END, type VirtualAddress } from '@heki/physical-memory';
import type { Note } from './note.ts';

/** Where the kernel maps its image, before KASLR (Linux, arch/x86/include/asm/page_64_types.h). */
const START_KERNEL_MAP = 0xffffffff80000000n;

/** What a Linux kernel tells about itself to readers of its dump (Linux, Documentation/admin-guide/kdump/vmcoreinfo.rst). */
export interface Vmcoreinfo {
  /** Every line `KEY=VALUE`. */
  readonly values: ReadonlyMap<string, string>;
  /** OSRELEASE, the kernel's version. */
  readonly release: string | undefined;
  /** The run-time address of a kernel symbol, from `SYMBOL(name)`. */
  symbol(name: string): VirtualAddress | undefined;
  /** `NUMBER(name)`. */
  number(name: string): bigint | undefined;
  /** KERNELOFFSET: how far KASLR moved the image. */
  readonly kernelOffset: bigint | undefined;
  /** Where an address of the kernel's image lies in physical memory. `phys_base`, which may be negative, is 0 where the note does not say. */
  physicalAddress(address: VirtualAddress): Gpa | undefined;
  /** The physical address of the kernel's own root page table, swapper_pg_dir. */
  readonly swapperPgDir: Gpa | undefined;
  /** Whether the kernel runs with 5-level paging; `undefined` when the note does not say. */
  readonly fiveLevel: boolean | undefined;
}

/**
 * The VMCOREINFO note, if there is one, or several that say the same: which of others is this kernel's cannot be known. Lines that are not
 * `KEY=VALUE` are passed over.
 */
export function readVmcoreinfo(notes: readonly Note[]): Vmcoreinfo | undefined {
  const [text] = textsOf(notes);
  return text === undefined || vmcoreinfosDiffer(notes) ? undefined : parseVmcoreinfo(text);
}

/** Whether there are VMCOREINFO notes that say different things. */
export function vmcoreinfosDiffer(notes: readonly Note[]): boolean {
  // A kernel that crashes says when, in the copy that its crash kernel keeps (crash_save_vmcoreinfo).
  return new Set(textsOf(notes).map((text) => text.replace(/^CRASHTIME=.*\n?/m, ''))).size > 1;
}

function textsOf(notes: readonly Note[]): string[] {
  return notes
    .filter(({ name }) => name === 'VMCOREINFO')
    .map(({ descriptor }) => new TextDecoder('latin1').decode(descriptor).replace(/\0+$/, ''));
}

/** Parses the text of a VMCOREINFO note. */
export function parseVmcoreinfo(text: string): Vmcoreinfo {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1).replace(/\0+$/, ''));
  }
  const symbol = (name: string) => hexadecimal(values.get(`SYMBOL(${name})`)) as VirtualAddress | undefined;
  const number = (name: string) => decimal(values.get(`NUMBER(${name})`));
  const levels = number('pgtable_l5_enabled');
  const physicalAddress = (address: VirtualAddress) => imageAddress(address, number('phys_base') ?? 0n);
  const swapper = symbol('swapper_pg_dir');
  return {
    values,
    release: values.get('OSRELEASE'),
    symbol,
    number,
    kernelOffset: hexadecimal(values.get('KERNELOFFSET')),
    physicalAddress,
    swapperPgDir: swapper === undefined ? undefined : physicalAddress(swapper),
    fiveLevel: levels === undefined ? undefined : levels !== 0n,
  };
}

function imageAddress(virtual: VirtualAddress, physBase: bigint): Gpa | undefined {
  if (virtual < START_KERNEL_MAP) return undefined;
  const address = virtual - START_KERNEL_MAP + BigInt.asIntN(64, physBase);
  return address >= 0n && address < BigInt(PHYSICAL_ADDRESS_END) ? (Number(address) as Gpa) : undefined;
}

function hexadecimal(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

function decimal(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?[0-9]{1,20}$/.test(text) ? BigInt(text) : undefined;
}
