import type { Gfn, PageView } from '@heki/physical-memory';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';
import type { Vmcore } from '../vmcore.ts';
import { type ExtractRoot, extractRoots } from './extract-roots.ts';
import { type RedactedDump, redactDump } from './redact/redact-dump.ts';
import { findTablePages, UPPER_HALF } from './table-pages.ts';
import { type WrittenCore, writeCore } from './write-core.ts';

/** What is taken out of a dump. */
export interface ExtractOptions {
  /** Keeps what the CPUs' root tables map for user mode. Default: left out. */
  readonly user?: boolean;
  /**
   * Takes out what KASLR chose, and of the notes all that no page walk needs. Then nothing is byte for byte, and the user's
   * half cannot be kept.
   */
  readonly redact?: boolean;
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
  /** Where things are now, and what is still to be seen, when it was redacted. */
  readonly redaction: Pick<RedactedDump, 'change' | 'remains'> | undefined;
}

/**
 * Takes page tables and registers out of a dump: an ELF core with all of its notes, byte for byte, and as PT_LOADs the
 * pages that a walk from one of `extractRoots` reads as tables. The lower half of root tables is zero unless
 * `options.user`. Page walks of the kernel half of the result are those of the dump, and the extract of an extract is the same.
 * With `options.redact` see `RedactedDump`.
 *
 * @throws {VmcoreError} when the dump has no root table, or more than 262,144 page-table pages, or cannot be redacted
 */
export function extractTables(core: Vmcore, options: ExtractOptions = {}): Extract {
  const { user = false, redact = false } = options;
  if (user && redact) throw new VmcoreError("the user's half cannot be redacted: leave one of both out");
  const found = extractRoots(core);
  const redaction = redact ? redactDump(core, found) : undefined;
  const { memory, roots, notes } = redaction ?? { memory: core.memory, roots: found, notes: core.notes };
  const encryptionBit = core.encryption?.bit;
  const pages = findTablePages(memory, roots, { user, limit: DUMP_LIMITS.tablePages, encryptionBit });
  const cleared = new Map<Gfn, PageView>();
  let userEntriesCleared = 0;
  for (const frame of pages.upperHalfOnly) {
    const page = Uint32Array.from(memory.page(frame) ?? []);
    for (let slot = 0; slot < UPPER_HALF; slot++) {
      if (page[2 * slot] !== 0 || page[2 * slot + 1] !== 0) userEntriesCleared++;
    }
    cleared.set(frame, page.fill(0, 0, 2 * UPPER_HALF));
  }
  const written = writeCore({
    notes,
    frames: pages.frames,
    page: (frame) => cleared.get(frame) ?? memory.page(frame) ?? new Uint32Array(),
  });
  return {
    ...written,
    roots,
    tablePages: pages.frames.length,
    absentTables: pages.absent,
    userEntriesCleared,
    redaction,
  };
}
