import { openSync, readSync, statSync } from 'node:fs';
import { PAGE_SIZE, PAGE_WORDS } from '@heki/physical-memory';
import type { Qmp } from './qmp.ts';
import type { RamRange } from './ram-range.ts';

/** A file that QEMU names as that of a block of RAM. */
export interface RamFile {
  readonly path: string;
  readonly descriptor: number;
}

/** By the name of the block. */
export type RamFiles = ReadonlyMap<string, RamFile>;

/** The file that QEMU names as that of its RAM is another one here. */
export class ForeignRamFile extends Error {}

/** The page at an offset of a block. @throws {ForeignRamFile} when the file ends before: it is that of a smaller guest */
export function pageOfFile({ descriptor }: RamFile, offset: number): Uint32Array {
  const page = new Uint32Array(PAGE_WORDS);
  const count = readSync(descriptor, new Uint8Array(page.buffer), 0, PAGE_SIZE, offset);
  if (count !== PAGE_SIZE) throw new ForeignRamFile();
  return page;
}

/** Whether files hold most of the RAM: what is left are the firmware and the memory of devices. */
export function isMostlyIn(files: RamFiles, ranges: readonly RamRange[]): boolean {
  let balance = 0;
  for (const { block, start, end } of ranges) balance += files.has(block) ? end - start : start - end;
  return balance > 0;
}

/** The files of the blocks that have one which shows what the guest writes (`share=on`), by the name of the block. */
export function openBackends(qmp: Qmp, ranges: readonly RamRange[]): RamFiles {
  const files = new Map<string, RamFile>();
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
      if (!statSync(path).isDirectory()) files.set(block, { path, descriptor: openSync(path, 'r') });
    } catch {
      // QEMU may run elsewhere, or as somebody else: then it is asked for each page.
    }
  }
  return files;
}
