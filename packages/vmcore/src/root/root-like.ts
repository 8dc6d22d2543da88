import { EntryLow } from '@heki/x86';
import { KERNEL_SLOT } from './kernel-tables.ts';

/** What every table of a kernel has set in the entries of its root: present, writable. */
const TABLE = EntryLow.P | EntryLow.RW;
/** Through which the kernel's image is mapped. */
const LAST_SLOT = 511;

/**
 * Whether the page whose 32-bit words begin at `start` has what the upper half of every root of a kernel has: two tables or more, the
 * last entry among them, all writable; and no large leaf, which would be of 512 GiB.
 */
export function isRootLike(words: ArrayLike<number>, start = 0): boolean {
  if (((words[start + 2 * LAST_SLOT] ?? 0) & EntryLow.P) === 0) return false;
  let tables = 0;
  for (let slot = KERNEL_SLOT; slot <= LAST_SLOT; slot++) {
    const low = words[start + 2 * slot] ?? 0;
    if ((low & EntryLow.P) === 0) continue;
    if ((low & TABLE) !== TABLE || (low & EntryLow.PS) !== 0) return false;
    tables++;
  }
  return tables >= 2;
}
