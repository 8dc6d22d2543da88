import { createRam, type Pfn, pfn, type Ram, type VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4, EFER, INTEL_VT_RP, RFLAGS } from '@heki/x86';
import { createVcpu } from '../create-vcpu.ts';
import type { Registers } from '../registers/registers.ts';
import type { Vcpu, VcpuOptions } from '../vcpu.ts';

/** Bits of guest page-table entries, as tests write them. */
export const PTE = { P: 1, W: 2, U: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;
export const XD = 0x8000_0000;

/** `value` as a virtual address. */
export function va(value: bigint): VirtualAddress {
  return BigInt.asUintN(64, value) as VirtualAddress;
}

/** Page tables in plain memory, built the obvious way: 4 levels from a root, tables taken one after the other. */
export class Tables {
  readonly memory: Ram<Pfn>;
  readonly root: number;
  #next: number;

  /** Tables come from the frames `first` on; the first one is the root. */
  constructor(memory: Ram<Pfn>, first: number) {
    this.memory = memory;
    this.root = first;
    this.#next = first + 1;
  }

  /** Maps one page of a size (level 1, 2, 3) with the low bits and high bits given. Upper entries allow everything. */
  map(address: bigint, frame: number, low: number, high = 0, level: 1 | 2 | 3 = 1): void {
    const { page, word } = this.entry(address, level, true);
    page[word] = (((frame * 4096) % 2 ** 32) | low | (level > 1 ? PTE.PS : 0)) >>> 0;
    page[word + 1] = (Math.floor(frame / 2 ** 20) | high) >>> 0;
  }

  /** Where the entry of `level` for `address` is; the tables above it are created on the way when `create`. */
  entry(address: bigint, level: number, create = false): { page: Uint32Array; word: number; frame: number } {
    let table = this.root;
    for (let at = 4; ; at--) {
      const page = this.#page(table);
      const word = Number((BigInt.asUintN(48, address) >> BigInt(12 + 9 * (at - 1))) & 511n) * 2;
      if (at === level) return { page, word, frame: table };
      if (((page[word] ?? 0) & PTE.P) === 0) {
        if (!create) throw new Error(`no table of level ${at - 1} for ${address.toString(16)}`);
        page[word] = this.#next++ * 4096 + (PTE.P | PTE.W | PTE.U | PTE.A);
      }
      table = (page[word] ?? 0) >>> 12;
    }
  }

  /** Sets and clears bits in the low half of an entry. */
  change(address: bigint, clear: number, set = 0, level = 1): void {
    const { page, word } = this.entry(address, level);
    page[word] = (((page[word] ?? 0) & ~clear) | set) >>> 0;
  }

  /** The low half of an entry. */
  low(address: bigint, level = 1): number {
    const { page, word } = this.entry(address, level);
    return page[word] ?? 0;
  }

  #page(frame: number): Uint32Array {
    const page = this.memory.writablePage(frame as Pfn);
    if (page === undefined) throw new Error(`no memory at frame ${frame}`);
    return page;
  }
}

/** Host memory of `frames` frames from 0 on. */
export function ram(frames = 4096): Ram<Pfn> {
  return createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(frames) }] });
}

/** Registers of a 64-bit kernel at CPL 0 over `tables`, in the fashion of Linux. */
export function kernelRegisters(root: number, changes: Partial<Registers> = {}): Partial<Registers> {
  return {
    cr0: CR0.PG | CR0.WP | CR0.AM | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
    cr3: BigInt(root) << 12n,
    cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP,
    efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
    rflags: 2n | RFLAGS.IF,
    rip: va(0xffff_ffff_8100_0000n),
    codeSegment64: true,
    cpl: 0,
    ...changes,
  };
}

/** A machine without a second level: memory, tables from frame 16 on, and a virtual CPU in a 64-bit kernel. */
export function machine(options: Partial<VcpuOptions> & { readonly changes?: Partial<Registers> } = {}): {
  memory: Ram<Pfn>;
  tables: Tables;
  cpu: Vcpu;
} {
  const { changes, ...rest } = options;
  const memory = ram();
  const tables = new Tables(memory, 16);
  const cpu = createVcpu({
    id: 0,
    memory,
    processor: INTEL_VT_RP,
    registers: kernelRegisters(tables.root, changes),
    ...rest,
  });
  return { memory, tables, cpu };
}
