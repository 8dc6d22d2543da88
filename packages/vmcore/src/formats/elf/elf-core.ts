import type { DumpWarning } from '../../dump-warning.ts';
import { readNotes } from '../../note.ts';
import { type DumpFormat, hasText } from '../dump-format.ts';
import { searchUpTo64GiB } from '../raw/image.ts';
import { PT_NOTE, readProgramHeaders } from './elf-header.ts';
import { readSegments } from './segment.ts';
import { createSegmentMemory } from './segment-memory.ts';

const RUNNING: DumpWarning = {
  id: 'running',
  message:
    'this is /proc/kcore: its kernel runs while it is read, and what it changes meanwhile does not go together',
};

/**
 * An ELF core by physical address: QEMU's `dump-guest-memory`, `virsh dump --memory-only`, Linux's `/proc/vmcore` and what
 * `makedumpfile -E` makes of it; `/proc/kcore` from Linux 4.11 on.
 */
export const elfCore: DumpFormat = {
  looksAt: 4,
  recognises: (start) => hasText(start, '\x7fELF'),
  read(source, { cachePages }) {
    const headers = readProgramHeaders(source);
    const { segments, missing, isKcore } = readSegments(headers, source.size);
    const places = headers
      .filter(({ type }) => type === PT_NOTE)
      .map(({ at, fileOffset, fileSize }) => ({ saidAt: at + 32, fileOffset, fileSize }));
    const message = `the dump was cut short: 0x${missing.toString(16)} bytes of memory lie behind the end of the file, and are absent`;
    const warnings: DumpWarning[] = missing > 0 ? [{ id: 'truncated', message }] : [];
    if (isKcore) warnings.push(RUNNING);
    let search: ReturnType<typeof searchUpTo64GiB>;
    return {
      format: 'ELF core',
      memory: createSegmentMemory(source, segments, cachePages),
      segments,
      notes: readNotes(source, places),
      warnings,
      // Nobody asks unless nothing names a root. In large pieces that takes a tenth of the time that single pages take.
      get rootLikePages() {
        search ??= searchUpTo64GiB(source, segments);
        return search?.rootLikePages;
      },
    };
  },
};
