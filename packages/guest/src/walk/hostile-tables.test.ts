import {
  createRam,
  type Gfn,
  PAGE_WORDS,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
} from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createHekiGuest, type GuestEvent, PUBLISHED_LAYOUT } from '../index.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

const TABLES = 6;
/** Entries that lead to each other, to memory, to impossible frames, or nowhere. */
const entry = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.nat(TABLES - 1), fc.nat(0xfff)).map(([table, bits]) => [table * 4096 + bits, 0]),
  },
  { weight: 2, arbitrary: fc.tuple(fc.integer(), fc.integer()) },
  { weight: 2, arbitrary: fc.constant([0, 0]) },
);
const profiles = ['rfc-v2', 'hardened'] as const;
const validFrames = [{ start: 0 as Gfn, end: 64 as Gfn }];

test('page tables of any bytes, cycles among them, end with an answer', () => {
  let stopped = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...profiles),
      fc.constantFrom(4 as const, 5 as const),
      fc.array(fc.tuple(fc.nat(TABLES - 1), fc.nat(511), entry), {
        minLength: 5,
        maxLength: 400,
        size: 'max',
      }),
      // Each of 6 tables has at most 5 levels and 8 kinds of rights; it may lead to others that memory lacks.
      fc.constantFrom(2000, 300, 7),
      (profile, levels, entries, tableBudget) => {
        const memory = createRam({ ranges: validFrames });
        for (const [table, slot, [low = 0, high = 0]] of entries) {
          const page = memory.writablePage(table as Gfn) ?? new Uint32Array(PAGE_WORDS);
          // Also in the kernel half of whatever becomes the root.
          page.set([low, high], 2 * slot);
          page.set([low, high], 2 * (256 + (slot % 256)));
        }
        const events: GuestEvent[] = [];
        const guest = createHekiGuest({
          profile,
          kernel: createTestKernel({ tables: { memory, root: 0 as Gfn, levels }, validFrames }),
          tableBudget,
          hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
          onEvent: (event) => events.push(event),
        });
        const early = guest.earlyInit();
        const late = guest.lateInit();
        const isCutShort = events.some(({ type }) => type === 'walk-stopped');
        if (isCutShort) stopped++;
        if (early.outcome === 'walk-stopped') expect(late.outcome).toBe('not-counting');
        else expect(early.outcome).toBe('counting');
        expect(late.outcome === 'walk-stopped' || early.outcome === 'walk-stopped').toBe(isCutShort);
        if (isCutShort) expect(late.outcome).not.toBe('protected');
        // As published, a 1-GiB mapping that begins in memory counts as a whole (B-G15).
        expect(guest.countedFrames()).toBeLessThanOrEqual(profile === 'hardened' ? 64 : 2 ** 18 + 64);
      },
    ),
    { numRuns: 80 },
  );
  expect(stopped).toBeGreaterThan(5);
}, 60_000);

test.each(profiles)('a root that leads to itself everywhere is walked to its end, %s', (profile) => {
  const memory = createRam({ ranges: validFrames });
  for (let slot = 0; slot < 512; slot++) memory.writablePage(0 as Gfn)?.set([0x67, 0], 2 * slot);
  const events: GuestEvent[] = [];
  const guest = createHekiGuest({
    profile,
    defects: { 'B-G20': true },
    kernel: createTestKernel({ tables: { memory, root: 0 as Gfn, levels: 4 }, validFrames }),
    tableBudget: 100,
    hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
    onEvent: (event) => events.push(event),
  });
  const { kernel, directMap } = PUBLISHED_LAYOUT[4];
  const counted = kernel.end - kernel.start - (directMap.end - directMap.start);
  expect(guest.earlyInit()).toEqual({ outcome: 'counting', leaves: counted, pages: 1 });
  expect(events).toContainEqual(expect.objectContaining({ type: 'shared-tables', tablesAtSeveralLevels: 1 }));
  expect(guest.counters(0 as Gfn)?.read).toBe(profile === 'rfc-v2' ? counted | 0 : counted);
});

/** Memory in which an entry of the root, and then every entry, leads to a table of its own: 512^3 page tables that map frame 5. */
function endlessTables(from: number, to: number): PhysicalMemory<Gfn> {
  const root = new Uint32Array(PAGE_WORDS);
  for (let slot = from; slot < to; slot++) root[2 * slot] = (slot + 1) * 4096 + 0x67;
  const page = (frame: number): Uint32Array => {
    if (frame === 0) return root;
    if (frame >= 512 ** 3) return new Uint32Array(PAGE_WORDS).map((_, word) => (word % 2 === 0 ? 0x5163 : 0));
    return new Uint32Array(PAGE_WORDS).map((_, word) => {
      const next = frame * 512 + (word - (word % 2)) / 2;
      return word % 2 === 0 ? (next % 2 ** 20) * 4096 + 0x67 : Math.floor(next / 2 ** 20);
    });
  };
  return { page, writablePage: () => undefined };
}

describe.each(profiles)('page tables without end, %s', (profile) => {
  const slotOf = (frame: number): number =>
    Math.floor((frame - (VIRTUAL_FRAME_END - 512 * 2 ** 27)) / 2 ** 27);
  const { directMap } = PUBLISHED_LAYOUT[4];

  function protect(from: number, to: number) {
    const events: GuestEvent[] = [];
    let asked = 0;
    const kernel = createTestKernel({
      tables: { memory: endlessTables(from, to), root: 0 as Gfn, levels: 4 },
      validFrames,
    });
    const guest = createHekiGuest({
      profile,
      kernel: { ...kernel, directMap },
      tableBudget: 100,
      hypervisor: { lockCrs: () => 0, protectMemory: () => asked++ * 0 },
      onEvent: (event) => events.push(event),
    });
    const early = guest.earlyInit();
    const late = guest.lateInit();
    const text = (type: 'log' | 'warning') =>
      events.flatMap((event) => (event.type === type ? [event.text] : [])).join('\n');
    return { guest, early, late, events, asked: () => asked, pages: kernel.pagesInUse, text };
  }

  test('outside the direct map are walked up to the budget; nothing is counted then, and nothing protected', () => {
    const run = protect(slotOf(directMap.end), 510);
    expect(run.early).toMatchObject({ outcome: 'walk-stopped' });
    expect(run.late).toEqual({ outcome: 'not-counting' });
    expect(run.asked()).toBe(0);
    expect(run.events).toContainEqual(expect.objectContaining({ type: 'walk-stopped', tables: 100 }));
    expect(run.text('warning')).toContain('page tables without end');
    expect(run.text('log')).not.toContain('protected');
  });

  test('in the direct map end late init with an error, whatever it had gathered', () => {
    const run = protect(slotOf(directMap.start), slotOf(directMap.end));
    expect(run.early).toMatchObject({ outcome: 'counting', leaves: 0 });
    expect(run.late).toMatchObject({ outcome: 'walk-stopped', error: -7 });
    expect(run.asked()).toBe(0);
    expect(run.pages).toBe(0);
    expect(run.guest.protectsMemory).toBe(false);
    expect(run.text('log')).not.toContain('protected');
    expect(run.guest.beginChange().update(directMap.start, directMap.end, 0, 2)).toBe(
      profile === 'rfc-v2' ? -7 : 0,
    );
  });
});
