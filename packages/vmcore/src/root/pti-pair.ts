import type { Gfn, PageView, PhysicalMemory } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame } from '@heki/x86';
import { KERNEL_SLOT } from './kernel-tables.ts';

/** The kernel's half of the pair that a root may belong to (PTI_PGTABLE_SWITCH_BIT: bit 12 of CR3). */
export function kernelHalf(root: Gfn): Gfn {
  return (root - (root % 2)) as Gfn;
}

/**
 * The other root of the pair that page-table isolation makes: the kernel's at an even frame, the user's at the next
 * (Linux, Documentation/arch/x86/pti.rst). Without isolation that frame may hold anything, so the two must prove
 * that they are a pair.
 */
export function pairOf(
  memory: PhysicalMemory<Gfn>,
  frame: Gfn,
  encryptionBit: number | undefined,
): Gfn | undefined {
  const kernel = kernelHalf(frame);
  const user = (kernel + 1) as Gfn;
  const other = frame === kernel ? user : kernel;
  return isPair(memory, kernel, user, addressHigh(encryptionBit)) ? other : undefined;
}

/**
 * Whether the kernel's half of `user` shows the entry code alone: it maps nothing that `kernel` does not map, shares tables with
 * it (the CPUs' entry areas), and lacks the rest. With five levels all that is shared lies one table further down.
 */
function isPair(memory: PhysicalMemory<Gfn>, kernel: Gfn, user: Gfn, addressBits: number): boolean {
  let shared = 0;
  let lacking = 0;
  const compare = (kernelTable: Gfn, userTable: Gfn, firstSlot: number, deeper: boolean): boolean => {
    const kernelPage = memory.page(kernelTable);
    const userPage = memory.page(userTable);
    if (kernelPage === undefined || userPage === undefined) return false;
    for (let slot = firstSlot; slot < 512; slot++) {
      const inKernel = targetAt(kernelPage, slot, addressBits);
      const inUser = targetAt(userPage, slot, addressBits);
      if (inUser === undefined) lacking += inKernel === undefined ? 0 : 1;
      else if (inUser === inKernel) shared++;
      else if (inKernel === undefined || (deeper && !compare(inKernel, inUser, 0, false))) return false;
    }
    return true;
  };
  return compare(kernel, user, KERNEL_SLOT, true) && shared > 0 && lacking > 0;
}

/** The table that the entry at `slot` leads to. */
function targetAt(page: PageView, slot: number, addressBits: number): Gfn | undefined {
  const low = page[2 * slot] ?? 0;
  return (low & EntryLow.P) === 0 ? undefined : entryFrame(low, page[2 * slot + 1] ?? 0, addressBits);
}
