import type { Gfn } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { expect, test } from 'vitest';
import { createHekiGuest } from '../index.ts';
import { at, GuestTables } from '../testing/guest-tables.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

const VMALLOC = at('ffffc90000000000');
const TABLES = 2 ** 20;
const MEMORY = { start: 0 as Gfn, end: 4096 as Gfn };
/** What another processor stores to the page of the freed table: to the walker, frame 0x777, writable and executable. */
const DATA = 0x77_7003;

/**
 * Frames that are counted when another processor frees the table of the vmalloc area, and uses its page for data, as soon as the
 * walk has met the first of the area's mappings.
 */
function countedFrames(profile: Profile): number[] {
  const tables = new GuestTables({ start: TABLES });
  tables.map(at('ffff888000000000'), 0, 4096, '4K', 'rw-');
  tables.map(VMALLOC, 0x100, 3, '4K', 'rw-');
  const table = tables.newestTable;
  let turns = 0;
  const kernel = {
    ...createTestKernel({ tables, validFrames: [MEMORY] }),
    directMap: { start: at('ffff888000000000'), end: at('ffff888001000000') },
    interleave() {
      if (++turns === 1)
        tables.memory
          .writablePage(table)
          ?.fill(0)
          .set([DATA, 0], 2 * 100);
    },
  };
  const guest = createHekiGuest({
    kernel,
    profile,
    hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
  });
  guest.earlyInit();
  const frames = Array.from({ length: MEMORY.end }, (_, frame) => frame);
  return frames.filter((frame) => guest.counters(frame as Gfn) !== undefined);
}

test('a walk without a lock counts what another processor puts where a table was (B-G14)', () => {
  expect(countedFrames('rfc-v2')).toEqual([0x100, 0x777]);
});

test('a walk that holds the lock counts the mappings that there are', () => {
  expect(countedFrames('hardened')).toEqual([0x100, 0x101, 0x102]);
});
