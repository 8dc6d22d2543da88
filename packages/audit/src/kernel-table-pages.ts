import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { ProvenRoot } from '@heki/vmcore';
import {
  addressHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  isLeaf,
  type Level,
  upperHalfStart,
} from '@heki/x86';
import { AuditError } from './error.ts';

/** The first slot of the kernel's half in a root table. */
const KERNEL_SLOT = 256;

/** Entries that are told; KASAN has some thousand. */
const MOST_LINKED = 2 ** 16;

/** A place where a page table stands. */
interface TablePlace {
  readonly table: Gfn;
  /** Of the table's entries. */
  readonly level: Level;
  /** First virtual frame that it translates. */
  readonly virtualFrame: VirtualFrame;
}

/** An entry that leads to a table which stands elsewhere already. */
export interface LinkedTable extends TablePlace {
  /** Where it was seen first. */
  readonly first: TablePlace;
}

/** The page tables of a kernel's half. */
export interface KernelTablePages {
  readonly frames: ReadonlySet<Gfn>;
  readonly linked: readonly LinkedTable[];
}

/**
 * The tables of the kernel's half, each read once, and entries of them that lead to one that was seen.
 *
 * @throws {AuditError} when there are more than `limit`
 */
export function kernelTablePages(tables: ProvenRoot, limit: number): KernelTablePages {
  const { memory, root, levels } = tables;
  const addressBits = addressHigh(tables.encryptionBit);
  const places = new Map<Gfn, TablePlace>();
  const linked: LinkedTable[] = [];
  const start = (upperHalfStart(levels) - KERNEL_SLOT * framesOfLevel(levels)) as VirtualFrame;
  const queue: TablePlace[] = [{ table: root, level: levels, virtualFrame: start }];
  places.set(root, queue[0] as TablePlace);
  for (let index = 0; index < queue.length; index++) {
    const place = queue[index];
    const page = place === undefined || place.level === 1 ? undefined : memory.page(place.table);
    if (place === undefined || page === undefined) continue;
    const { level, virtualFrame } = place;
    const span = framesOfLevel(level);
    for (let slot = index === 0 ? KERNEL_SLOT : 0; slot < 512; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & EntryLow.P) === 0 || isLeaf(low, level)) continue;
      const below: TablePlace = {
        table: entryFrame(low, page[2 * slot + 1] ?? 0, addressBits),
        level: (level - 1) as Level,
        virtualFrame: (virtualFrame + slot * span) as VirtualFrame,
      };
      const first = places.get(below.table);
      if (first !== undefined) {
        if (linked.length < MOST_LINKED) linked.push({ ...below, first });
        continue;
      }
      if (places.size >= limit) {
        throw new AuditError(
          `the kernel has more than ${limit} page-table pages: they seem to lead to each other`,
        );
      }
      places.set(below.table, below);
      queue.push(below);
    }
  }
  return { frames: new Set(places.keys()), linked };
}
