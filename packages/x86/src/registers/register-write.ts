import { type Gpa, hex } from '@heki/physical-memory';
import { CR0, CR3, CR4, EFER } from './control-registers.ts';
import type { CpuProfile } from './cpu-profile.ts';
import type { PagingRegisters } from './registers.ts';

/**
 * Cached translations that a write of a control register invalidates (SDM 3A 4.10.4.1):
 * none; those of one PCID except global pages; those of one PCID and global pages; all of all PCIDs.
 */
export type TlbFlush =
  | { readonly kind: 'none' }
  | { readonly kind: 'pcid'; readonly pcid: number; readonly global: boolean }
  | { readonly kind: 'all' };

/** The outcome of a write to CR0, CR3, CR4 or EFER. */
export type RegisterWrite =
  | { readonly kind: 'ok'; readonly registers: PagingRegisters; readonly flush: TlbFlush }
  | { readonly kind: 'general-protection' /** The rule that was broken. */; readonly reason: string };

const CR0_DEFINED = Object.values(CR0).reduce((mask, bit) => mask | bit);
const NO_FLUSH: TlbFlush = { kind: 'none' };
const FLUSH_ALL: TlbFlush = { kind: 'all' };

function refused(reason: string): RegisterWrite {
  return { kind: 'general-protection', reason };
}

function pcidOf(registers: PagingRegisters): number {
  return (registers.cr4 & CR4.PCIDE) === 0n ? 0 : Number(registers.cr3 & CR3.PCID);
}

/**
 * MOV to CR0 in 64-bit mode, or outside long mode (SDM 2B "MOV - Move to/from Control Registers", SDM 3A 2.5, 4.1.2).
 * Turning paging on or off carries EFER.LMA along.
 *
 * @param value the whole 64-bit source
 */
export function writeCr0(registers: PagingRegisters, value: bigint): RegisterWrite {
  const { cr0, cr4, efer } = registers;
  if (value >> 32n !== 0n) return refused(`CR0 bits 63:32 are reserved, and ${hex(value)} sets some`);
  if ((value & CR0.PG) !== 0n && (value & CR0.PE) === 0n) return refused('CR0.PG = 1 needs CR0.PE = 1');
  if ((value & CR0.NW) !== 0n && (value & CR0.CD) === 0n) return refused('CR0.NW = 1 needs CR0.CD = 1');
  if ((value & CR0.WP) === 0n && (cr4 & CR4.CET) !== 0n) return refused('CR0.WP = 0 needs CR4.CET = 0');

  let newEfer = efer;
  const wasPaging = (cr0 & CR0.PG) !== 0n;
  const willPage = (value & CR0.PG) !== 0n;
  if (wasPaging && !willPage) {
    if ((cr4 & CR4.PCIDE) !== 0n) return refused('CR0.PG cannot be cleared while CR4.PCIDE = 1');
    if ((efer & EFER.LMA) !== 0n) return refused('CR0.PG cannot be cleared in 64-bit mode');
  }
  if (!wasPaging && willPage && (efer & EFER.LME) !== 0n) {
    if ((cr4 & CR4.PAE) === 0n) return refused('CR0.PG = 1 with EFER.LME = 1 needs CR4.PAE = 1');
    newEfer |= EFER.LMA;
  }
  return {
    kind: 'ok',
    // Reserved bits of the lower half are ignored, and ET is always 1 (SDM 3A 2.5).
    registers: { ...registers, cr0: (value & CR0_DEFINED) | CR0.ET, efer: newEfer },
    flush: wasPaging && !willPage ? FLUSH_ALL : NO_FLUSH,
  };
}

/** The bits of CR3 that can be set: below MAXPHYADDR, and what selects encryption or masks addresses. */
function cr3Bits({ maxPhysicalAddressBits, encryptionBit, cr4 }: CpuProfile): bigint {
  const physical = (1n << BigInt(maxPhysicalAddressBits)) - 1n;
  const encryption = encryptionBit === undefined ? 0n : 1n << BigInt(encryptionBit);
  const masking = (cr4 & CR4.LAM_SUP) === 0n ? 0n : CR3.LAM_U57 | CR3.LAM_U48;
  return physical | encryption | masking;
}

/** The root table that CR3 holds (SDM 3A 4.5.2; APM 2 7.10.2), as an address: 0 .. 2^52 - 4096. */
export function cr3Root(
  cr3: bigint,
  { maxPhysicalAddressBits, encryptionBit }: Pick<CpuProfile, 'maxPhysicalAddressBits' | 'encryptionBit'>,
): Gpa {
  const encryption = encryptionBit === undefined ? 0n : 1n << BigInt(encryptionBit);
  return Number(BigInt.asUintN(maxPhysicalAddressBits, cr3) & ~encryption & ~0xfffn) as Gpa;
}

/**
 * MOV to CR3 with 4-level or 5-level paging (SDM 3A 4.5, 4.10.4.1). Bit 63 of the source asks, with CR4.PCIDE = 1, to
 * keep cached translations; it is not stored.
 */
export function writeCr3(registers: PagingRegisters, value: bigint, processor: CpuProfile): RegisterWrite {
  const pcide = (registers.cr4 & CR4.PCIDE) !== 0n;
  const keep = pcide && (value & CR3.NO_FLUSH) !== 0n;
  const cr3 = keep ? value & ~CR3.NO_FLUSH : value;
  if ((cr3 & ~cr3Bits(processor)) !== 0n) {
    return refused(
      `CR3 bits 63:${processor.maxPhysicalAddressBits} are reserved (MAXPHYADDR), and ${hex(value)} sets some`,
    );
  }
  const next = { ...registers, cr3 };
  return {
    kind: 'ok',
    registers: next,
    flush: keep ? NO_FLUSH : { kind: 'pcid', pcid: pcidOf(next), global: false },
  };
}

/**
 * MOV to CR4 (SDM 2B "MOV - Move to/from Control Registers", SDM 3A 2.5, 4.1.2, 4.10.4.1).
 *
 * @param value the whole 64-bit source
 */
export function writeCr4(registers: PagingRegisters, value: bigint, processor: CpuProfile): RegisterWrite {
  const { cr0, cr3, cr4, efer } = registers;
  const reserved = value & ~processor.cr4;
  if (reserved !== 0n) return refused(`CR4 bits ${hex(reserved)} are reserved on this processor`);
  const changed = cr4 ^ value;
  const set = changed & value;
  if ((efer & EFER.LMA) !== 0n) {
    if ((value & CR4.PAE) === 0n) return refused('CR4.PAE cannot be cleared in long mode');
    if ((changed & CR4.LA57) !== 0n) return refused('CR4.LA57 cannot change in long mode');
  }
  if ((set & CR4.PCIDE) !== 0n) {
    if ((efer & EFER.LMA) === 0n) return refused('CR4.PCIDE = 1 needs long mode');
    if ((cr3 & CR3.PCID) !== 0n) return refused('CR4.PCIDE can be set only while CR3[11:0] = 0');
  }
  if ((value & CR4.CET) !== 0n && (cr0 & CR0.WP) === 0n) return refused('CR4.CET = 1 needs CR0.WP = 1');

  let flush: TlbFlush = NO_FLUSH;
  if ((changed & CR4.PGE) !== 0n || (changed & ~set & CR4.PCIDE) !== 0n) flush = FLUSH_ALL;
  else if ((changed & CR4.PAE) !== 0n || (set & CR4.SMEP) !== 0n) {
    flush = { kind: 'pcid', pcid: pcidOf(registers), global: true };
  }
  return { kind: 'ok', registers: { ...registers, cr4: value }, flush };
}

/** WRMSR to IA32_EFER (SDM 3A 2.2.1; APM 2 3.1.7). A write of LMA is ignored: the processor owns it. */
export function writeEfer(registers: PagingRegisters, value: bigint, processor: CpuProfile): RegisterWrite {
  const { cr0, efer } = registers;
  const reserved = value & ~processor.efer;
  if (reserved !== 0n) return refused(`EFER bits ${hex(reserved)} are reserved on this processor`);
  if (((value ^ efer) & EFER.LME) !== 0n && (cr0 & CR0.PG) !== 0n) {
    return refused('EFER.LME cannot change while CR0.PG = 1');
  }
  return {
    kind: 'ok',
    registers: { ...registers, efer: (value & ~EFER.LMA) | (efer & EFER.LMA) },
    flush: NO_FLUSH,
  };
}
