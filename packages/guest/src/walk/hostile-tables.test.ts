import { createRam, type Gfn, PAGE_WORDS } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHekiGuest, type GuestEvent } from '../index.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

const TABLES = 6;
/** Entries that lead to each other, to memory, to frames that are none, or nowhere. */
const entry = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.nat(TABLES - 1), fc.nat(0xfff)).map(([table, bits]) => [table * 4096 + bits, 0]),
  },
  { weight: 2, arbitrary: fc.tuple(fc.integer(), fc.integer()) },
  { weight: 2, arbitrary: fc.constant([0, 0]) },
);

test('page tables of any bytes, cycles among them, end with an answer', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('rfc-v2' as const, 'hardened' as const),
      fc.constantFrom(4 as const, 5 as const),
      fc.array(fc.tuple(fc.nat(TABLES - 1), fc.nat(511), entry), {
        minLength: 5,
        maxLength: 400,
        size: 'max',
      }),
      (profile, levels, entries) => {
        const range = { start: 0 as Gfn, end: 64 as Gfn };
        const memory = createRam({ ranges: [range] });
        for (const [table, slot, [low = 0, high = 0]] of entries) {
          const page = memory.writablePage(table as Gfn) ?? new Uint32Array(PAGE_WORDS);
          // Also in the kernel half of whatever becomes the root.
          page.set([low, high], 2 * slot);
          page.set([low, high], 2 * (256 + (slot % 256)));
        }
        const events: GuestEvent[] = [];
        const guest = createHekiGuest({
          profile,
          kernel: createTestKernel({ tables: { memory, root: 0 as Gfn, levels }, validFrames: [range] }),
          tableBudget: 300,
          hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
          onEvent: (event) => events.push(event),
        });
        const early = guest.earlyInit();
        expect(early.outcome).toBe('counting');
        expect(['protected', 'memory-refused']).toContain(guest.lateInit().outcome);
        // As published, a 1-GiB mapping that begins in memory counts as a whole (B-G15).
        expect(guest.countedFrames()).toBeLessThanOrEqual(profile === 'hardened' ? 64 : 2 ** 18 + 64);
        const leaves = events.reduce((sum, event) => sum + (event.type === 'mappings' ? event.leaves : 0), 0);
        // Three walks, each of at most 300 tables.
        expect(leaves).toBeLessThanOrEqual(3 * 300 * 512);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test('page tables without end are walked up to the budget, and a warning says so', () => {
  const range = { start: 0 as Gfn, end: 64 as Gfn };
  const memory = createRam({ ranges: [range] });
  // Every entry of the root leads to the root itself.
  for (let slot = 0; slot < 512; slot++) memory.writablePage(0 as Gfn)?.set([0x67, 0], 2 * slot);
  const events: GuestEvent[] = [];
  const guest = createHekiGuest({
    profile: 'rfc-v2',
    kernel: createTestKernel({ tables: { memory, root: 0 as Gfn, levels: 4 }, validFrames: [range] }),
    tableBudget: 100,
    hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
    onEvent: (event) => events.push(event),
  });
  expect(guest.earlyInit()).toMatchObject({ outcome: 'counting', pages: 1 });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.text] : []));
  expect(warnings.length).toBe(2);
  expect(warnings[0]).toContain('page tables without end');
});
