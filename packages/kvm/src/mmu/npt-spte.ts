import { EntryHigh, EntryLow } from '@heki/x86';
import { SPTE_MMU_PRESENT, type SpteFormat } from './spte.ts';

/** KVM's own bits in a nested entry: 9 host-writable, 10 MMU-writable (Linux 6.6, arch/x86/kvm/mmu/spte.h). */
const HOST_WRITABLE = 1 << 9;
const MMU_WRITABLE = 1 << 10;

/**
 * make_spte() for nested paging. With GMET the user bit takes the kernel's execution away (APM 2 15.25.5). The series knows no
 * GMET: `mbecParameter` makes it clear bit 2, which it takes for EPT's execute bit and is the user bit (B-H17).
 */
export function nptSpteFormat(options: {
  readonly gmet: boolean;
  readonly mbecParameter: boolean;
}): SpteFormat {
  const { gmet, mbecParameter } = options;
  return {
    make({ rights, writable, executable }) {
      const { supervisorExecute: execute } = rights;
      let low = SPTE_MMU_PRESENT | EntryLow.US | EntryLow.A;
      if (rights.read) low |= EntryLow.P;
      if ((gmet && execute) || (mbecParameter && executable && !execute)) low &= ~EntryLow.US;
      if (writable) {
        low |= HOST_WRITABLE;
        if (rights.write) low |= MMU_WRITABLE | EntryLow.RW | EntryLow.D;
      }
      return { low, high: executable && (execute || rights.userExecute) ? 0 : EntryHigh.XD };
    },
    writeProtect: ({ low, high }) => ({ low: low & ~EntryLow.RW, high }),
    makeWritable: ({ low, high }) => ({
      low: (low & MMU_WRITABLE) === 0 ? low : low | EntryLow.RW | EntryLow.D,
      high,
    }),
    age: ({ low, high }) => ({ low: low & ~EntryLow.A, high }),
    restoreAge: (entry) => entry,
    rights({ low, high }) {
      const user = (low & EntryLow.US) !== 0;
      // Without GMET every access of a guest is a user access, and fails where the user bit is clear.
      const reachable = (low & EntryLow.P) !== 0 && (gmet || user);
      const executable = reachable && (high & EntryHigh.XD) === 0;
      return {
        read: reachable,
        write: reachable && (low & EntryLow.RW) !== 0,
        supervisorExecute: executable && !(gmet && user),
        userExecute: executable,
      };
    },
  };
}
