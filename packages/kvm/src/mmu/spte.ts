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
  /** Guest-paging verification: only tables with paging-write access may lead here. Only in a layout for VT-rp. */
  readonly verified?: boolean;
  /** Paging-write access. Only in a layout for VT-rp. */
  readonly pagingWrite?: boolean;
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
/** Where an entry has, in its high half, that its host page is writable, and that a fast page fault may give write access back. */
const SOFTWARE_BITS = {
  /** Bits 57 and 58. */
  'linux-6.6': { hostWritable: 1 << (57 - 32), mmuWritable: 1 << (58 - 32) },
  /** Bits 53 and 55, as Linux has them in 2026, so that 57 and 58 are free for VT-rp. */
  'linux-7.0': { hostWritable: 1 << (53 - 32), mmuWritable: 1 << (55 - 32) },
} as const;

/** Which bits of an entry are KVM's. */
export type SpteLayout = keyof typeof SOFTWARE_BITS;

/** R and X, saved in bits 54 and 56 while an entry is access-tracked. */
const SAVED_SHIFT = 54 - 32;
const SAVED_BITS: number = (EptLow.R | EptLow.X) << SAVED_SHIFT;

/** make_spte() for EPT (Heki v2 5/19, 11/19). `mbec`: mode-based execute control is on; without it one bit is for both kinds of code. */
export function eptSpteFormat(
  mbec: boolean,
  accessedDirty: boolean,
  layout: SpteLayout = 'linux-6.6',
): SpteFormat {
  const { hostWritable, mmuWritable } = SOFTWARE_BITS[layout];
  return {
    make({ rights, writable, executable, verified, pagingWrite }) {
      let low = SPTE_MMU_PRESENT | (EptMemoryType.WB << 3) | EptLow.IPAT | EptLow.A;
      let high = EptHigh.SVE;
      if (rights.read) low |= EptLow.R;
      if (executable) {
        if (rights.supervisorExecute || (!mbec && rights.userExecute)) low |= EptLow.X;
        if (mbec && rights.userExecute) low |= EptLow.XU;
      }
      if (writable) {
        high |= hostWritable;
        if (rights.write) {
          high |= mmuWritable;
          low |= EptLow.W | EptLow.D;
        }
      }
      if (verified === true) high |= EptHigh.VGP;
      // Without R it would be a misconfiguration (SDM 3C 29.3.3.1).
      if (pagingWrite === true && rights.read) high |= EptHigh.PWA;
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
      low: (high & mmuWritable) === 0 ? low : low | EptLow.W | EptLow.D,
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
