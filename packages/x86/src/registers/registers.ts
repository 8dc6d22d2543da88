import type { Gpa } from '@heki/physical-memory';
import { CR0, CR4, EFER } from './control-registers.ts';

/** The second first-stage root of HLAT paging (SDM 3A 4.5.1; VMCS fields HLATP and HLAT prefix size). */
export interface HlatRoot {
  /** Guest-physical address of the root table, a multiple of 4,096. */
  readonly pointer: Gpa;
  /** Z: the root serves linear addresses whose Z most significant bits are all 1; 0 serves all. 0 .. 52. */
  readonly prefixBits: number;
}

/** The processor state that translation and its permission checks depend on. */
export interface PagingRegisters {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  /** Only AC (bit 18) is looked at. */
  readonly rflags: bigint;
  /** Rights of protection keys on user pages: for key k, bit 2k = access-disable, bit 2k + 1 = write-disable. */
  readonly pkru: number;
  /** IA32_PKRS: the same for supervisor pages. */
  readonly pkrs: number;
  /** Set by the hypervisor, not by the guest. Heeded only under a CPU profile with HLAT. */
  readonly hlat?: HlatRoot;
}

/**
 * Registers of a 64-bit kernel - long mode, write protection, NXE, 4-level paging, no other feature - with
 * `changes` applied.
 */
export function pagingRegisters(changes: Partial<PagingRegisters> = {}): PagingRegisters {
  return {
    cr0: CR0.PG | CR0.WP | CR0.NE | CR0.ET | CR0.PE,
    cr3: 0n,
    cr4: CR4.PAE,
    efer: EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE,
    rflags: 2n,
    pkru: 0,
    pkrs: 0,
    ...changes,
  };
}
