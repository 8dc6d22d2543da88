import type { FrameRange, Gfn } from '@heki/physical-memory';
import { at, GuestTables, type Letters } from './guest-tables.ts';
import { createRandom } from './random.ts';

/** A made-up guest: its page tables, and where its memory lies. */
export interface SyntheticGuest {
  readonly tables: GuestTables;
  readonly validFrames: readonly FrameRange<Gfn>[];
  /** Leaves in its tables. */
  readonly leaves: number;
}

/** Frames of the kernel image by section, from 16 MiB on: text, rodata, data. */
const IMAGE: readonly (readonly [start: number, largePages: number, rights: Letters])[] = [
  [0x1000, 8, 'r-x'],
  [0x2000, 5, 'r--'],
  [0x2a00, 7, 'rw-'],
];

/**
 * A guest with `gibibytes` of memory, mapped by 2-MiB leaves in the direct map, a kernel image, and `pages` pages of
 * vmalloc memory that are scattered over it, a third each r--, rw- and r-x; text and rodata are read-only in the direct
 * map. The same arguments give the same guest.
 *
 * @param options.scatter how far the vmalloc pages are scattered: GiB from the start of memory on. Default all
 */
export function createSyntheticGuest(options: {
  readonly gibibytes: number;
  readonly pages: number;
  readonly scatter?: number;
}): SyntheticGuest {
  const { gibibytes, pages, scatter = gibibytes } = options;
  const frames = gibibytes * 2 ** 18;
  const tables = new GuestTables({ start: frames });
  const directMap = at('ffff888000000000');
  tables.map(directMap, 0, frames / 512, '2M', 'rw-');
  let leaves = frames / 512;
  for (const [start, largePages, rights] of IMAGE) {
    tables.map(at('ffffffff80000000') + start, start, largePages, '2M', rights);
    tables.map(directMap + start, start, largePages, '2M', rights === 'rw-' ? 'rw-' : 'r--');
    leaves += largePages;
  }
  const random = createRandom(1);
  const vmalloc = at('ffffc90000000000');
  const letters: readonly Letters[] = ['r--', 'rw-', 'r-x'];
  const taken = new Set<number>();
  for (let index = 0; index < pages; index++) {
    let frame: number;
    do {
      frame = 0x4000 + Math.floor((random() / 2 ** 32) * (scatter * 2 ** 18 - 0x4000));
    } while (taken.has(frame));
    taken.add(frame);
    tables.map(vmalloc + index, frame, 1, '4K', letters[random() % 3] ?? 'rw-');
  }
  return { tables, validFrames: [{ start: 0 as Gfn, end: frames as Gfn }], leaves: leaves + pages };
}
