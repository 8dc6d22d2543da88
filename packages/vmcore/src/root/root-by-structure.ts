import { type Gfn, gfn, PAGE_SIZE, type PageView } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame } from '@heki/x86';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';
import type { Vmcore } from '../vmcore.ts';
import { KERNEL_SLOT } from './kernel-tables.ts';

/** What every table of a kernel has set in the entries of its root: present, writable. */
const TABLE = EntryLow.P | EntryLow.RW;
const LAST_SLOT = 511;

/**
 * The pages of a dump that may be the root of a kernel's tables, for a dump that names none: in the upper half every present entry
 * leads to a table that is in the dump, the last one among them, through which the kernel's image is mapped. First those whose
 * lower half is empty, as that of swapper_pg_dir is, and both by address. All of the dump is looked through.
 *
 * @throws {VmcoreError} when that is more than 64 GiB: part of it could show one kernel where there are two
 */
export function rootsByStructure({ memory, segments, encryption }: Vmcore): Gfn[] {
  const bytes = segments.reduce((sum, { start, end }) => sum + (end - start), 0);
  if (bytes > DUMP_LIMITS.searchedBytes) {
    throw new VmcoreError(
      `nothing in the dump names the root of its kernel's page tables, and its ${Math.ceil(bytes / 2 ** 30)} GiB are more than the ${DUMP_LIMITS.searchedBytes / 2 ** 30} that are looked through for one`,
    );
  }
  const addressBits = addressHigh(encryption?.bit);
  const own: Gfn[] = [];
  const ofProcesses: Gfn[] = [];
  for (const { start, end } of segments) {
    for (let at = Math.ceil(start / PAGE_SIZE); (at + 1) * PAGE_SIZE <= end; at++) {
      const page = memory.page(gfn(at));
      if (page === undefined || !mayBeRoot(page)) continue;
      (hasLowerHalf(page) ? ofProcesses : own).push(gfn(at));
    }
  }
  return [...own, ...ofProcesses];

  function mayBeRoot(page: PageView): boolean {
    if (((page[2 * LAST_SLOT] ?? 0) & EntryLow.P) === 0) return false;
    let tables = 0;
    for (let slot = KERNEL_SLOT; slot <= LAST_SLOT; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      // A leaf of 512 GiB does not exist: bit 7 is reserved.
      if ((low & TABLE) !== TABLE || (low & EntryLow.PS) !== 0) return false;
      if (memory.page(entryFrame(low, page[2 * slot + 1] ?? 0, addressBits)) === undefined) return false;
      tables++;
    }
    return tables >= 2;
  }
}

function hasLowerHalf(page: PageView): boolean {
  for (let slot = 0; slot < KERNEL_SLOT; slot++) if (((page[2 * slot] ?? 0) & EntryLow.P) !== 0) return true;
  return false;
}
