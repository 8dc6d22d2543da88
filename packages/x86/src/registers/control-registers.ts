import { type BitMasks, bitMasks } from '../bit-table.ts';

/** CR0. Bits that are not listed are reserved. */
export const CR0_BITS = {
  PE: { bit: 0, meaning: 'protected mode', source: 'SDM 3A 2.5' },
  MP: { bit: 1, meaning: 'WAIT heeds TS', source: 'SDM 3A 2.5' },
  EM: { bit: 2, meaning: 'no x87 unit', source: 'SDM 3A 2.5' },
  TS: { bit: 3, meaning: 'task switched', source: 'SDM 3A 2.5' },
  ET: { bit: 4, meaning: 'always 1', source: 'SDM 3A 2.5' },
  NE: { bit: 5, meaning: 'x87 errors by exception', source: 'SDM 3A 2.5' },
  WP: { bit: 16, meaning: 'supervisor writes heed R/W', source: 'SDM 3A 2.5, 4.6.1' },
  AM: { bit: 18, meaning: 'alignment mask', source: 'SDM 3A 2.5' },
  NW: { bit: 29, meaning: 'not write-through', source: 'SDM 3A 2.5' },
  CD: { bit: 30, meaning: 'cache disable', source: 'SDM 3A 2.5' },
  PG: { bit: 31, meaning: 'paging', source: 'SDM 3A 2.5, 4.1.1' },
} as const;

/** Masks of CR0: `CR0.WP`. */
export const CR0: BitMasks<typeof CR0_BITS> = bitMasks(CR0_BITS);

/** CR4. Bits that are not listed are reserved. */
export const CR4_BITS = {
  VME: { bit: 0, meaning: 'virtual-8086 extensions', source: 'SDM 3A 2.5' },
  PVI: { bit: 1, meaning: 'protected-mode virtual interrupts', source: 'SDM 3A 2.5' },
  TSD: { bit: 2, meaning: 'RDTSC only at CPL 0', source: 'SDM 3A 2.5' },
  DE: { bit: 3, meaning: 'debugging extensions', source: 'SDM 3A 2.5' },
  PSE: { bit: 4, meaning: '4-MiB pages with 32-bit paging', source: 'SDM 3A 2.5' },
  PAE: { bit: 5, meaning: 'physical address extension', source: 'SDM 3A 2.5, 4.1.1' },
  MCE: { bit: 6, meaning: 'machine-check exception', source: 'SDM 3A 2.5' },
  PGE: { bit: 7, meaning: 'global pages', source: 'SDM 3A 2.5, 4.10.2.4' },
  PCE: { bit: 8, meaning: 'RDPMC at any CPL', source: 'SDM 3A 2.5' },
  OSFXSR: { bit: 9, meaning: 'FXSAVE and SSE in use', source: 'SDM 3A 2.5' },
  OSXMMEXCPT: { bit: 10, meaning: 'SIMD exceptions in use', source: 'SDM 3A 2.5' },
  UMIP: { bit: 11, meaning: 'SGDT, SIDT, SLDT, SMSW, STR only at CPL 0', source: 'SDM 3A 2.5' },
  LA57: { bit: 12, meaning: '5-level paging', source: 'SDM 3A 2.5, 4.1.1' },
  VMXE: { bit: 13, meaning: 'VMX', source: 'SDM 3A 2.5' },
  SMXE: { bit: 14, meaning: 'SMX', source: 'SDM 3A 2.5' },
  FSGSBASE: { bit: 16, meaning: 'RDFSBASE and the like', source: 'SDM 3A 2.5' },
  PCIDE: { bit: 17, meaning: 'process-context identifiers', source: 'SDM 3A 2.5, 4.10.1' },
  OSXSAVE: { bit: 18, meaning: 'XSAVE in use', source: 'SDM 3A 2.5' },
  KL: { bit: 19, meaning: 'key locker', source: 'SDM 3A 2.5' },
  SMEP: { bit: 20, meaning: 'no supervisor fetch from user pages', source: 'SDM 3A 2.5, 4.6.1' },
  SMAP: { bit: 21, meaning: 'no supervisor data access to user pages', source: 'SDM 3A 2.5, 4.6.1' },
  PKE: { bit: 22, meaning: 'protection keys for user pages', source: 'SDM 3A 2.5, 4.6.2' },
  CET: { bit: 23, meaning: 'control-flow enforcement', source: 'SDM 3A 2.5' },
  PKS: { bit: 24, meaning: 'protection keys for supervisor pages', source: 'SDM 3A 2.5, 4.6.2' },
  UINTR: { bit: 25, meaning: 'user interrupts', source: 'SDM 3A 2.5' },
  LASS: { bit: 27, meaning: 'linear-address-space separation', source: 'SDM 3A 2.5' },
  LAM_SUP: { bit: 28, meaning: 'linear-address masking, supervisor', source: 'SDM 3A 2.5' },
  FRED: { bit: 32, meaning: 'flexible return and event delivery', source: 'SDM 3A 2.5' },
} as const;

/** Masks of CR4: `CR4.SMEP`. */
export const CR4: BitMasks<typeof CR4_BITS> = bitMasks(CR4_BITS);

/** CR3 without the root address. */
export const CR3_BITS = {
  PWT: { bit: 3, meaning: 'write-through (CR4.PCIDE = 0)', source: 'SDM 3A 4.5' },
  PCD: { bit: 4, meaning: 'cache disable (CR4.PCIDE = 0)', source: 'SDM 3A 4.5' },
  PCID: {
    bit: 0,
    width: 12,
    meaning: 'process-context identifier (CR4.PCIDE = 1)',
    source: 'SDM 3A 4.5, 4.10.1',
  },
  LAM_U57: {
    bit: 61,
    meaning: 'linear-address masking, user, bits 62:57 are metadata',
    source: 'SDM 3A 4.5',
  },
  LAM_U48: {
    bit: 62,
    meaning: 'linear-address masking, user, bits 62:48 are metadata',
    source: 'SDM 3A 4.5',
  },
  NO_FLUSH: { bit: 63, meaning: 'in the source of MOV: keep cached translations', source: 'SDM 3A 4.10.4.1' },
} as const;

/** Masks of CR3: `CR3.PCID`. */
export const CR3: BitMasks<typeof CR3_BITS> = bitMasks(CR3_BITS);

/** IA32_EFER, MSR 0xC0000080. Bits that are not listed are reserved. */
export const EFER_BITS = {
  SCE: { bit: 0, meaning: 'SYSCALL', source: 'SDM 3A 2.2.1' },
  LME: { bit: 8, meaning: 'long mode enable', source: 'SDM 3A 2.2.1' },
  LMA: { bit: 10, meaning: 'long mode active (read only)', source: 'SDM 3A 2.2.1' },
  NXE: { bit: 11, meaning: 'execute-disable enable', source: 'SDM 3A 2.2.1, 4.6.1' },
  SVME: { bit: 12, meaning: 'SVM enable (AMD)', source: 'APM 2 3.1.7, 15.4' },
  LMSLE: { bit: 13, meaning: 'segment limits in 64-bit mode (AMD)', source: 'APM 2 3.1.7, 4.12.2' },
  FFXSR: { bit: 14, meaning: 'fast FXSAVE and FXRSTOR (AMD)', source: 'APM 2 3.1.7' },
  TCE: { bit: 15, meaning: 'translation cache extension (AMD)', source: 'APM 2 3.1.7' },
  MCOMMIT: { bit: 17, meaning: 'MCOMMIT instruction (AMD)', source: 'APM 2 3.1.7' },
  INTWB: { bit: 18, meaning: 'interruptible WBINVD (AMD)', source: 'APM 2 3.1.7' },
  UAIE: { bit: 20, meaning: 'upper address ignore (AMD)', source: 'APM 2 3.1.7, 5.10' },
  AIBRSE: { bit: 21, meaning: 'automatic IBRS (AMD)', source: 'APM 2 3.1.7' },
} as const;

/** Masks of EFER: `EFER.NXE`. */
export const EFER: BitMasks<typeof EFER_BITS> = bitMasks(EFER_BITS);

/** The bits of RFLAGS that paging looks at. */
export const RFLAGS_BITS = {
  IF: { bit: 9, meaning: 'interrupts enabled', source: 'SDM 3A 2.3' },
  AC: { bit: 18, meaning: 'explicit supervisor accesses may reach user pages', source: 'SDM 3A 2.3, 4.6.1' },
} as const;

/** Masks of RFLAGS: `RFLAGS.AC`. */
export const RFLAGS: BitMasks<typeof RFLAGS_BITS> = bitMasks(RFLAGS_BITS);
