import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { type Gfn, type Gpa, PAGE_SIZE, PAGE_WORDS, type PageView } from '@heki/physical-memory';
import { VmcoreError } from '../../error.ts';
import type { VmcoreSegment } from '../../segment.ts';
import type { Qmp } from './qmp.ts';

/** A stretch of RAM in the guest's physical memory. */
export interface RamRange extends VmcoreSegment {
  /** The name of its block in QEMU. */
  readonly block: string;
  /** Where it begins in that block: RAM above the PCI hole comes right behind that below it. */
  readonly offset: number;
}

/** The file that QEMU names as that of its RAM is another one here. */
export class ForeignRamFile extends Error {}

/** The memory of a guest that stands. */
export interface GuestRam {
  readonly segments: readonly VmcoreSegment[];
  page(frame: Gfn): PageView | undefined;
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
  files: ReadonlyMap<string, number>,
  fetch: (address: number) => PageView,
): GuestRam {
  let pagesOfFiles = 0;

  function checkedFromFile(descriptor: number, offset: number, address: number): Uint32Array {
    const page = fromFile(descriptor, offset);
    if (isChecked(++pagesOfFiles)) {
      const own = fetch(address);
      if (page.some((word, index) => word !== own[index])) throw new ForeignRamFile();
    }
    return page;
  }

  function fromFile(descriptor: number, offset: number): Uint32Array {
    const page = new Uint32Array(PAGE_WORDS);
    const target = new Uint8Array(page.buffer);
    const count = readSync(descriptor, target, 0, PAGE_SIZE, offset);
    // That of a smaller guest.
    if (count !== PAGE_SIZE) throw new ForeignRamFile();
    return page;
  }
  return {
    segments: ranges.map(({ start, end }) => ({ start, end })),
    page(frame) {
      const address = frame * PAGE_SIZE;
      const range = ranges.find(({ start, end }) => start <= address && address + PAGE_SIZE <= end);
      if (range === undefined) return undefined;
      const file = files.get(range.block);
      return file === undefined
        ? fetch(address)
        : checkedFromFile(file, range.offset + (address - range.start), address);
    },
    close() {
      for (const file of files.values()) closeSync(file);
    },
  };
}

/** The first pages of tables, and ever fewer of those that follow: few of a large guest, too. */
function isChecked(count: number): boolean {
  return count <= 8 || Number.isInteger(Math.log2(count));
}

/** The RAM in the view of `system`, as `info mtree -f` prints it: ` START-END (prio 0, ram): BLOCK @OFFSET`. */
export function parseRam(text: string): RamRange[] {
  const views = text.split(/FlatView #\d+/);
  const view = views.find((one) => /^ AS "memory",/m.test(one)) ?? '';
  const line = /^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom)\): (\S+)(?: @([0-9a-f]{16}))?/gm;
  const ranges = Array.from(view.matchAll(line), ([, start = '', last = '', block = '', offset = '0']) => ({
    start: Number.parseInt(start, 16) as Gpa,
    end: (Number.parseInt(last, 16) + 1) as Gpa,
    block,
    offset: Number.parseInt(offset, 16),
  }));
  if (ranges.length === 0) throw new VmcoreError('QEMU tells of no RAM (info mtree -f)');
  return ranges.sort((a, b) => a.start - b.start);
}

/** The files of the blocks that have one which shows what the guest writes (`share=on`), by the name of the block. */
export function openBackends(qmp: Qmp, ranges: readonly RamRange[]): Map<string, number> {
  const files = new Map<string, number>();
  for (const block of new Set(ranges.map((range) => range.block))) {
    const property = (name: string): unknown => {
      try {
        return qmp.execute('qom-get', { path: `/objects/${block}`, property: name });
      } catch {
        return undefined;
      }
    };
    const path = property('mem-path');
    if (typeof path !== 'string' || property('share') !== true) continue;
    // QEMU 8.1 lets RAM begin behind the file's start.
    if (Number(property('offset') ?? 0) !== 0) continue;
    try {
      // Of huge pages it is mostly a folder, in which QEMU's own file has no name.
      if (!statSync(path).isDirectory()) files.set(block, openSync(path, 'r'));
    } catch {
      // QEMU may run elsewhere, or as somebody else: then it is asked for each page.
    }
  }
  return files;
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
