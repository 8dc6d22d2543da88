import type { Gfn } from '@heki/physical-memory';
import { extractTables } from '../../extract/extract-tables.ts';
import type { Note } from '../../note.ts';
import { cachedMemory } from '../../page-cache.ts';
import { readVmcore, type Vmcore, type VmcoreOptions, vmcoreOf } from '../../vmcore.ts';
import type { GuestRam } from './guest-ram.ts';

/** 64 MiB of tables. */
const CACHE_PAGES = 2 ** 14;

/**
 * The registers and page tables of a guest, user halves included, read into memory. Closes `ram`.
 *
 * @param held the frames that must be as QEMU gives them
 */
export function snapshotOf(
  ram: GuestRam,
  notes: readonly Note[],
  options: VmcoreOptions,
  held: (guest: Vmcore) => readonly Gfn[],
): Vmcore {
  try {
    const { segments } = ram;
    const memory = cachedMemory((frame) => ram.page(frame), CACHE_PAGES);
    const guest = vmcoreOf({ format: 'live QEMU', memory, segments, notes, warnings: [] }, options, () => {});
    // Before what may be another guest's tables is walked.
    onItsPages(ram, () => ram.compare(held(guest)));
    const bytes = onItsPages(ram, () => Buffer.concat([...extractTables(guest, { user: true }).chunks()]));
    return Object.assign(readVmcore(bytes, options), { format: guest.format, warnings: ram.warnings });
  } finally {
    ram.close();
  }
}

/** What `read` gives. @throws {ForeignRamFile} whatever came of it, when pages that it was given are another guest's */
function onItsPages<T>(ram: GuestRam, read: () => T): T {
  try {
    return read();
  } finally {
    ram.compare([]);
  }
}
