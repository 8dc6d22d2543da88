import { EptHigh, EptLow, EptMemoryType } from '@heki/ept';
import { MEM_ATTR_EXEC, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { Rights } from '@heki/hypervisor';
import type { U64 } from '@heki/physical-memory';

/** What a leaf is made for. */
export interface SpteRequest {
  /** MEM_ATTR bits of the frame; of the first frame, for a large leaf. */
  readonly permissions: number;
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
}

/**
 * KVM's own bits in an EPT entry, where the processor ignores them: bit 11 MMU-present, 57 host-writable, 58
 * MMU-writable (Linux 6.6, arch/x86/kvm/mmu/spte.h). Once paging-write or guest-paging verification is on, 57 and 58
 * are the processor's, and another layout is needed.
 */
export const SPTE_MMU_PRESENT = 1 << 11;
/** Bit 57, in the high half. */
export const SPTE_HOST_WRITABLE: number = 1 << (57 - 32);
/** Bit 58, in the high half: a fast page fault may give write access back. */
export const SPTE_MMU_WRITABLE: number = 1 << (58 - 32);

/** make_spte() for EPT (Heki v2 5/19, 11/19). READ is never looked at (B-H18). `mbec`: mode-based execute control is on. */
export function eptSpteFormat(mbec: boolean): SpteFormat {
  const execute = EptLow.X | (mbec ? EptLow.XU : 0);
  return {
    make({ permissions, writable, executable, writeProtect }) {
      let low = SPTE_MMU_PRESENT | EptLow.R | (EptMemoryType.WB << 3) | EptLow.IPAT | EptLow.A;
      let high = EptHigh.SVE;
      if (executable) {
        low |= execute;
        if (mbec && (permissions & MEM_ATTR_EXEC) === 0) low &= ~EptLow.X;
      }
      if (writable) {
        high |= SPTE_HOST_WRITABLE;
        if ((permissions & MEM_ATTR_WRITE) !== 0) {
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
  };
}
