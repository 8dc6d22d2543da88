import type { VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';

/** Guest-physical 0 for the kernel, writable and executable. */
export const DIRECT_MAP = 0xffff_8880_0000_0000n;
/** The same for user code. */
export const USER_MAP = 0x0000_1000_0000_0000n;
/** First of the guest's own frames: page tables, then descriptor tables. */
const TABLES = 0x40;
const GDT = TABLES + 8;
const IDT = TABLES + 9;

/** Selectors of two LDTs and of two task-state segments that LTR takes. */
export const SELECTORS = { ldtr: [0x10, 0x30], tr: [0x20, 0x40] } as const;

/** The kit's registers: 64-bit mode, CPL 0, every protection that guests usually have, no IDT. */
export const REGISTERS = {
  cr0: CR0.PG | CR0.WP | CR0.AM | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
  cr3: BigInt(TABLES) << 12n,
  cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE,
  efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
  codeSegment64: true,
  cpl: 0,
  rip: (DIRECT_MAP + 0x100_0000n) as VirtualAddress,
  gdtr: { base: (DIRECT_MAP + BigInt(GDT * 4096)) as VirtualAddress, limit: 0x4f },
  idtr: undefined,
  ldtr: 0,
  tr: 0,
} as const;

/** The guest's IDT: a gate for each exception. */
export const IDTR = { base: (DIRECT_MAP + BigInt(IDT * 4096)) as VirtualAddress, limit: 0x1ff } as const;

type Words = (gfn: number) => Uint32Array;

/** 1 GiB leaves for the kernel and for user code over all of memory, and descriptor tables. */
export function buildGuestTables(words: Words): void {
  const put = (gfn: number, index: number, low: number, high = 0): void => {
    words(gfn).set([low, high], 2 * index);
  };
  for (const [index, table, user] of [
    [273, TABLES + 1, 0],
    [32, TABLES + 2, 4],
  ] as const) {
    put(TABLES, index, table * 4096 + 0x63 + user);
    for (let giga = 0; giga < 2; giga++) put(table, giga, giga * 2 ** 30 + 0xe3 + user);
  }
  buildDescriptors(words);
  // Interrupt gates (SDM 3A 6.14.1): offset 15:0, present and type 14, offset 31:16, offset 63:32.
  const handler = Number(REGISTERS.rip % 2n ** 32n);
  const upper = Number(REGISTERS.rip >> 32n);
  for (let vector = 0; vector < 32; vector++) {
    put(IDT, 2 * vector, handler & 0xffff, ((handler & 0xffff_0000) | 0x8e00) >>> 0);
    put(IDT, 2 * vector + 1, upper);
  }
}

/** LTR marks its segment busy, and takes it no second time: writes the GDT anew. */
export function buildDescriptors(words: Words): void {
  // Limit 0x67; present with type 2 (LDT) or 9 (available TSS), SDM 3A table 3-2.
  for (const selector of SELECTORS.ldtr) words(GDT).set([0x67, 0x8200], selector / 4);
  for (const selector of SELECTORS.tr) words(GDT).set([0x67, 0x8900], selector / 4);
}
