import { EptHigh, EptLow, EptMemoryType } from '@heki/ept';
import type { Rights } from '@heki/hypervisor';
import type { U64 } from '@heki/physical-memory';

/** What a leaf is made for. */
export interface SpteRequest {
  /** Those of the frame; of the first frame, for a large leaf. Write or execute come with read. */
  readonly rights: Rights;
  /** The slot can be written. */
  readonly writable: boolean;
  /** False for large leaves under the workaround for iTLB multihit. */
  readonly executable: boolean;
  /** Stores are recorded, and this leaf is not made for one: write access waits for it. */
  readonly writeProtect: boolean;
}

/** The leaf entries of one kind of second level, as KVM writes them. */
export interface SpteFormat {
  /** An entry without address and bit 7. */
  make(request: SpteRequest): U64;
  /** What an entry grants. */
  rights(entry: U64): Rights;
  /** Takes write access from an entry; it stays MMU-writable, if it was. */
  writeProtect(entry: U64): U64;
  /** Gives an MMU-writable entry write access; any other stays as it is. */
  makeWritable(entry: U64): U64;
  /** Clears the accessed flag, or, without one, takes away what would set it and saves it in the entry. */
  age(entry: U64): U64;
  /** Undoes {@link age} of an entry without accessed flag. */
  restoreAge(entry: U64): U64;
}

/**
 * KVM's own bits in an EPT entry, where the processor ignores them: bit 11 MMU-present, 57 host-writable, 58
 * MMU-writable (Linux 6.6, arch/x86/kvm/mmu/spte.h). Once paging-write or guest-paging verification is on, 57 and 58
 * are the processor's, and another layout is needed.
 */
export const SPTE_MMU_PRESENT = 1 << 11;
/** Bit 57, in the high half. */
const SPTE_HOST_WRITABLE: number = 1 << (57 - 32);
/** Bit 58, in the high half: a fast page fault may give write access back. */
const SPTE_MMU_WRITABLE: number = 1 << (58 - 32);

/** R and X, saved in bits 54 and 56 while an entry is access-tracked. */
const SAVED_SHIFT = 54 - 32;
const SAVED_BITS: number = (EptLow.R | EptLow.X) << SAVED_SHIFT;

/** make_spte() for EPT (Heki v2 5/19, 11/19). `mbec`: mode-based execute control is on; without it one bit is for both kinds of code. */
export function eptSpteFormat(mbec: boolean, accessedDirty: boolean): SpteFormat {
  return {
    make({ rights, writable, executable, writeProtect }) {
      let low = SPTE_MMU_PRESENT | (EptMemoryType.WB << 3) | EptLow.IPAT | EptLow.A;
      let high = EptHigh.SVE;
      if (rights.read) low |= EptLow.R;
      if (executable) {
        if (rights.supervisorExecute || (!mbec && rights.userExecute)) low |= EptLow.X;
        if (mbec && rights.userExecute) low |= EptLow.XU;
      }
      if (writable) {
        high |= SPTE_HOST_WRITABLE;
        if (rights.write) {
          high |= SPTE_MMU_WRITABLE;
          if (!writeProtect) low |= EptLow.W | EptLow.D;
        }
      }
      return { low, high: high >>> 0 };
    },
    rights: ({ low }) => ({
      read: (low & EptLow.R) !== 0,
      write: (low & EptLow.W) !== 0,
      supervisorExecute: (low & EptLow.X) !== 0,
      userExecute: (low & (mbec ? EptLow.XU : EptLow.X)) !== 0,
    }),
    writeProtect: ({ low, high }) => ({ low: low & ~EptLow.W, high }),
    makeWritable: ({ low, high }) => ({
      low: (high & SPTE_MMU_WRITABLE) === 0 ? low : low | EptLow.W | EptLow.D,
      high,
    }),
    age({ low, high }) {
      if (accessedDirty) return { low: low & ~EptLow.A, high };
      if ((high & SAVED_BITS) !== 0) return { low, high };
      // The series leaves XU where it is: user fetches from such a page go unnoticed, and gain nothing.
      const saved = (low & (EptLow.R | EptLow.X)) << SAVED_SHIFT;
      return { low: low & ~(EptLow.R | EptLow.W | EptLow.X), high: (high | saved) >>> 0 };
    },
    restoreAge({ low, high }) {
      const saved = (high & SAVED_BITS) >>> SAVED_SHIFT;
      return { low: low | saved, high: (high & ~SAVED_BITS) >>> 0 };
    },
  };
}
