import { type Gfn, gfn, PAGE_SIZE } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame } from '@heki/x86';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';
import type { Vmcore } from '../vmcore.ts';
import { KERNEL_SLOT } from './kernel-tables.ts';
import { isRootLike } from './root-like.ts';

/** Slots of a root table. */
const SLOTS = 512;

/**
 * The pages of a dump that may be the root of a kernel's tables, for a dump that names none: in the upper half every present entry
 * leads to a table that is in the dump, the last one among them. First those whose
 * lower half is empty, as that of swapper_pg_dir is, and both by address. All of the dump is looked through.
 *
 * @throws {VmcoreError} when that is more than 64 GiB: part of it could show one kernel where there are two
 */
export function rootsByStructure(core: Vmcore): Gfn[] {
  const { memory, encryption } = core;
  const addressBits = addressHigh(encryption?.bit);
  const own: Gfn[] = [];
  const ofProcesses: Gfn[] = [];
  for (const frame of core.rootLikePages ?? searchedPages(core)) {
    const page = memory.page(frame);
    if (page === undefined || !leadsToTables(page)) continue;
    (hasLowerHalf(page) ? ofProcesses : own).push(frame);
  }
  return [...own, ...ofProcesses];

  function leadsToTables(page: ArrayLike<number>): boolean {
    for (let slot = KERNEL_SLOT; slot < SLOTS; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      if (memory.page(entryFrame(low, page[2 * slot + 1] ?? 0, addressBits)) === undefined) return false;
    }
    return true;
  }
}

function searchedPages({ memory, segments }: Vmcore): Gfn[] {
  const bytes = segments.reduce((sum, { start, end }) => sum + (end - start), 0);
  if (bytes > DUMP_LIMITS.searchedBytes) {
    throw new VmcoreError(
      `nothing in the dump names the root of its kernel's page tables, and its ${Math.ceil(bytes / 2 ** 30)} GiB are more than the ${DUMP_LIMITS.searchedBytes / 2 ** 30} that are looked through for one`,
    );
  }
  const found: Gfn[] = [];
  for (const { start, end } of segments) {
    for (let at = Math.ceil(start / PAGE_SIZE); (at + 1) * PAGE_SIZE <= end; at++) {
      const page = memory.page(gfn(at));
      if (page !== undefined && isRootLike(page)) found.push(gfn(at));
    }
  }
  return found;
}

function hasLowerHalf(page: ArrayLike<number>): boolean {
  for (let slot = 0; slot < KERNEL_SLOT; slot++) if (((page[2 * slot] ?? 0) & EntryLow.P) !== 0) return true;
  return false;
}
