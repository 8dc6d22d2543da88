import { closeSync } from 'node:fs';
import { type Gfn, PAGE_SIZE, PAGE_WORDS, type PageView } from '@heki/physical-memory';
import type { DumpWarning } from '../../dump-warning.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import type { VmcoreSegment } from '../../segment.ts';
import type { Qmp } from './qmp.ts';
import { ForeignRamFile, pageOfFile, type RamFile, type RamFiles } from './ram-file.ts';
import type { RamRange } from './ram-range.ts';

/** The memory of a guest that stands. */
export interface GuestRam {
  readonly segments: readonly VmcoreSegment[];
  page(frame: Gfn): PageView | undefined;
  /** Holds a page that was read in a file to what QEMU gives. @throws {ForeignRamFile} when they differ */
  compare(frame: Gfn): void;
  /** What a reader must know of where the pages came from. */
  readonly warnings: readonly DumpWarning[];
  close(): void;
}

/**
 * The RAM of the guest. What is not RAM is absent: reading a device may change it.
 *
 * @param files the blocks that are read in a file, which is closed in the end
 * @param fetch gives the page at an address by QEMU itself: of any other block, and to hold some pages of files to, because where QEMU runs in a container its path may lead to the RAM of another guest here
 * @throws {ForeignRamFile} by `page`, when they differ
 */
export function guestRam(
  ranges: readonly RamRange[],
  files: RamFiles,
  fetch: (address: number) => PageView,
): GuestRam {
  let pagesOfFiles = 0;
  const compared = new Set<Gfn>();

  function placeOf(frame: Gfn): { readonly file: RamFile | undefined; readonly offset: number } | undefined {
    const address = frame * PAGE_SIZE;
    const range = ranges.find(({ start, end }) => start <= address && address + PAGE_SIZE <= end);
    if (range === undefined) return undefined;
    return { file: files.get(range.block), offset: range.offset + (address - range.start) };
  }

  function compare(frame: Gfn, page: Uint32Array): void {
    const own = fetch(frame * PAGE_SIZE);
    if (page.some((word, index) => word !== own[index])) throw new ForeignRamFile();
    compared.add(frame);
  }
  return {
    segments: ranges.map(({ start, end }) => ({ start, end })),
    page(frame) {
      const place = placeOf(frame);
      if (place === undefined) return undefined;
      if (place.file === undefined) return fetch(frame * PAGE_SIZE);
      const page = pageOfFile(place.file, place.offset);
      // Ever fewer: few of a large guest, too.
      if (Number.isInteger(Math.log2(++pagesOfFiles))) compare(frame, page);
      return page;
    },
    compare(frame) {
      const place = placeOf(frame);
      if (place?.file !== undefined && !compared.has(frame))
        compare(frame, pageOfFile(place.file, place.offset));
    },
    get warnings() {
      return compared.size === 0 ? [] : [readInFiles(files, compared.size)];
    },
    close() {
      for (const { descriptor } of files.values()) closeSync(descriptor);
    },
  };
}

function readInFiles(files: RamFiles, compared: number): DumpWarning {
  const names = Array.from(files.values(), ({ path }) => path)
    .join(', ')
    .slice(0, DUMP_LIMITS.nameCharacters);
  return {
    id: 'ram-file',
    message: `memory was read in the file that QEMU names (${names}), not by QEMU itself: ${compared} pages of it were held to what QEMU gives, among them root tables, code, stacks and own data of its CPUs, and are the same`,
  };
}

/** The page at `address`, as QEMU's monitor prints it. */
export function monitorPage(qmp: Qmp, address: number): Uint32Array {
  const text = qmp.monitor(`xp /${PAGE_WORDS}wx 0x${address.toString(16)}`);
  const words = Array.from(text.matchAll(/ 0x([0-9a-f]{8})\b/g), ([, word = '']) =>
    Number.parseInt(word, 16),
  );
  if (words.length !== PAGE_WORDS) {
    throw new VmcoreError(
      `QEMU gives ${words.length} words of the page at 0x${address.toString(16)}: expected ${PAGE_WORDS}`,
    );
  }
  return Uint32Array.from(words);
}
