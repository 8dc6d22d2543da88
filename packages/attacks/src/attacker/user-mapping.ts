import type { Attacker } from '@heki/machine';
import type { Gfn, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import { EntryLow, entryIndex, type PagingLevels } from '@heki/x86';

/** Where the attacker's program has the page: below what the kernel uses of the user half. */
const USER_PAGE = 0x40_0000 as VirtualFrame;
const TABLE = BigInt(EntryLow.P | EntryLow.RW | EntryLow.US | EntryLow.A | EntryLow.D);
const PAGE_BYTES = 4096n;

/**
 * Maps a frame for a user program: tables from the kernel's allocator, filled by stores through the direct map, and hung into the page tables that
 * the processor walks. What page-table corruption by a program (Dirty Pagetable) comes to.
 */
export function createUserMapping(options: {
  readonly cpu: Attacker;
  readonly directMap: (frame: Gfn, offset?: number) => VirtualAddress;
  readonly allocate: () => Gfn;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}): (frame: Gfn) => VirtualAddress {
  const { cpu, directMap, allocate, root, levels } = options;
  let pages = 0;
  let tables: Gfn | undefined;
  return (frame) => {
    const page = (USER_PAGE + pages) as VirtualFrame;
    pages++;
    const slot = (table: Gfn, level: number): VirtualAddress => directMap(table, 8 * entryIndex(page, level));
    if (tables === undefined) {
      tables = root;
      for (let level: number = levels; level > 1; level--) {
        const next = allocate();
        // A page that the allocator hands out is not empty.
        for (let word = 0; word < 512; word++) cpu.store(directMap(next, 8 * word), 8, 0n);
        cpu.store(slot(tables, level), 8, (BigInt(next) << 12n) | TABLE);
        tables = next;
      }
    }
    cpu.store(slot(tables, 1), 8, (BigInt(frame) << 12n) | TABLE);
    const va = (BigInt(page) * PAGE_BYTES) as VirtualAddress;
    cpu.flush(va);
    return va;
  };
}
