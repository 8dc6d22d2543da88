import type { Gfn, PageView } from '@heki/physical-memory';
import type { Vmcore } from '../vmcore.ts';
import { type ExtractRoot, extractRoots } from './extract-roots.ts';
import { findTablePages, UPPER_HALF } from './table-pages.ts';
import { type WrittenCore, writeCore } from './write-core.ts';

/** Most page-table pages of an extract: 512 GiB mapped by 4-KiB pages. */
const MAX_TABLE_PAGES = 2 ** 18;

/** What is taken out of a dump. */
export interface ExtractOptions {
  /** Keeps what the CPUs' root tables map for user mode. Default: left out. */
  readonly user?: boolean;
}

/** Page tables and registers of a dump, without the contents of any other page. */
export interface Extract extends WrittenCore {
  readonly roots: readonly ExtractRoot[];
  /** Page-table pages that it holds. */
  readonly tablePages: number;
  /** Page-table pages that the dump itself lacks. */
  readonly absentTables: number;
  /** Entries of root tables that were cleared because they lead to the user's half. */
  readonly userEntriesCleared: number;
}

/**
 * Takes page tables and registers out of a dump: an ELF core with all of its notes, byte for byte, and as PT_LOADs the
 * pages that a walk from one of {@link extractRoots} reads as tables. The lower half of root tables is zero unless
 * `options.user`. Page walks of the kernel half of the result are those of the dump, and the extract of an extract is the same.
 *
 * @throws {VmcoreError} when the dump has no root table, or more than 262,144 page-table pages
 */
export function extractTables(core: Vmcore, options: ExtractOptions = {}): Extract {
  const user = options.user === true;
  const roots = extractRoots(core);
  const pages = findTablePages(core.memory, roots, {
    user,
    limit: MAX_TABLE_PAGES,
    encryptionBit: core.encryption?.bit,
  });
  const cleared = new Map<Gfn, PageView>();
  let userEntriesCleared = 0;
  for (const frame of pages.upperHalfOnly) {
    const page = Uint32Array.from(core.memory.page(frame) ?? []);
    for (let slot = 0; slot < UPPER_HALF; slot++) {
      if (page[2 * slot] !== 0 || page[2 * slot + 1] !== 0) userEntriesCleared++;
    }
    cleared.set(frame, page.fill(0, 0, 2 * UPPER_HALF));
  }
  const written = writeCore({
    notes: core.notes,
    frames: pages.frames,
    page: (frame) => cleared.get(frame) ?? core.memory.page(frame) ?? new Uint32Array(),
  });
  return {
    ...written,
    roots,
    tablePages: pages.frames.length,
    absentTables: pages.absent,
    userEntriesCleared,
  };
}
