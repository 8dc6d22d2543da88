import { closeSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Gfn, PAGE_SIZE, type PageView } from '@heki/physical-memory';
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
  /**
   * Holds pages that were read in a file to what QEMU gives: of `frames`, and some of those that were given since.
   *
   * @throws {ForeignRamFile} when they differ
   */
  compare(frames: readonly Gfn[]): void;
  /** What a reader must know of where the pages came from. */
  readonly warnings: readonly DumpWarning[];
  close(): void;
}

/**
 * The RAM of the guest. What is not RAM is absent: reading a device may change it.
 *
 * @param files the blocks that are read in a file, which is closed in the end
 * @param fetch gives the pages at addresses by QEMU itself: of any other block, and to hold some pages of files to, because where QEMU runs in a container its path may lead to the RAM of another guest here
 * @throws {ForeignRamFile} by `page`, when a file is too short
 */
export function guestRam(
  ranges: readonly RamRange[],
  files: RamFiles,
  fetch: (addresses: readonly number[]) => readonly Uint32Array[],
): GuestRam {
  let pagesOfFiles = 0;
  const given = new Map<Gfn, Uint32Array>();
  const compared = new Set<Gfn>();

  function placeOf(frame: Gfn): { readonly file: RamFile | undefined; readonly offset: number } | undefined {
    const address = frame * PAGE_SIZE;
    const range = ranges.find(({ start, end }) => start <= address && address + PAGE_SIZE <= end);
    if (range === undefined) return undefined;
    return { file: files.get(range.block), offset: range.offset + (address - range.start) };
  }
  return {
    segments: ranges.map(({ start, end }) => ({ start, end })),
    page(frame) {
      const place = placeOf(frame);
      if (place === undefined) return undefined;
      if (place.file === undefined) return fetch([frame * PAGE_SIZE])[0];
      const page = pageOfFile(place.file, place.offset);
      // Ever fewer: few of a large guest, too.
      if (Number.isInteger(Math.log2(++pagesOfFiles))) given.set(frame, page);
      return page;
    },
    compare(frames) {
      for (const frame of frames) {
        const place = placeOf(frame);
        if (place?.file !== undefined) given.set(frame, pageOfFile(place.file, place.offset));
      }
      const pages = [...given].filter(([frame]) => !compared.has(frame));
      given.clear();
      const own = fetch(pages.map(([frame]) => frame * PAGE_SIZE));
      pages.forEach(([frame, page], index) => {
        if (page.some((word, at) => word !== own[index]?.[at])) throw new ForeignRamFile();
        compared.add(frame);
      });
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

/**
 * The pages at `addresses`, which QEMU saves in files of `folder`: that takes it a tenth of the time of printing them.
 *
 * @throws {VmcoreError} when it cannot
 */
export function savedPages(qmp: Qmp, folder: string, addresses: readonly number[]): Uint32Array[] {
  const files = addresses.map((_, index) => join(folder, `page-${index}`));
  qmp.executeAll(
    'pmemsave',
    addresses.map((val, index) => ({ val, size: PAGE_SIZE, filename: files[index] })),
  );
  return files.map((file) => {
    const bytes = readFileSync(file);
    if (bytes.length !== PAGE_SIZE)
      throw new VmcoreError(`QEMU saves ${bytes.length} bytes of a page: expected ${PAGE_SIZE}`);
    return new Uint32Array(Uint8Array.from(bytes).buffer);
  });
}
