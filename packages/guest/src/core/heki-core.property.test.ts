import type { Gfn } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHekiGuest } from '../create-heki-guest.ts';
import {
  type GuestDefectId,
  type GuestDefectSwitches,
  guestDefects,
  HekiCommand,
  type HekiGuest,
} from '../index.ts';
import { GuestTables } from '../testing/guest-tables.ts';
import { type ModelListPage, PageModel } from '../testing/page-model.ts';
import { readRawList } from '../testing/raw-list.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

/** Memory with a hole, so that mappings can begin, end and lie outside it. */
const VALID = [
  { start: 0 as Gfn, end: 1300 as Gfn },
  { start: 1400 as Gfn, end: 2500 as Gfn },
];
const isValid = (frame: number) => VALID.some(({ start, end }) => frame >= start && frame < end);

const FLAGS = [
  { low: 0x161, high: 0x8000_0000 },
  { low: 0x161, high: 0 },
  { low: 0x163, high: 0x8000_0000 },
  { low: 0x163, high: 0 },
];
const flags = fc.constantFrom(...FLAGS);
const leaf = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ guestFrame: fc.nat(2600), frames: fc.integer({ min: 1, max: 4 }), flags }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ guestFrame: fc.nat(4).map((n) => n * 512), frames: fc.constant(512), flags }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ guestFrame: fc.nat(2000), frames: fc.integer({ min: 1, max: 600 }), flags }),
  },
);
/** Pages that are not neighbours, so that lists of several pages come about. */
const scatter = fc
  .record({
    start: fc.nat(600),
    step: fc.integer({ min: 2, max: 4 }),
    count: fc.integer({ min: 1, max: 420 }),
    flags,
  })
  .map(({ start, step, count, flags: same }) =>
    Array.from({ length: count }, (_, index) => ({
      guestFrame: start + index * step,
      frames: 1,
      flags: same,
    })),
  );
const leaves = fc
  .oneof({ weight: 5, arbitrary: fc.array(leaf, { maxLength: 6 }) }, { weight: 1, arbitrary: scatter })
  .map((list) =>
    list.map(({ guestFrame, frames, flags: { low, high } }) => ({
      guestFrame: guestFrame as Gfn,
      frames,
      low,
      high,
      // Now and then one stands for several mappings, through a table that several entries lead to.
      ...(guestFrame % 5 === 0 ? { places: 1 + (guestFrame % 3) } : {}),
    })),
  );
const call = fc.record({
  command: fc.oneof(
    { weight: 4, arbitrary: fc.constant(HekiCommand.MAP) },
    { weight: 4, arbitrary: fc.constant(HekiCommand.UPDATE) },
    { weight: 3, arbitrary: fc.constant(HekiCommand.UNMAP) },
    { weight: 2, arbitrary: fc.constant(HekiCommand.PROTECT_MEMORY) },
  ),
  leaves,
  change: fc.record({
    set: fc.nat(7),
    clear: fc.nat(7),
    setGlobal: fc.constantFrom(0, 0, 8, 12),
    early: fc.boolean(),
  }),
  /** The change is in force afterwards. */
  inForce: fc.boolean(),
  /** List pages that there are for this call. */
  pages: fc.oneof({ weight: 4, arbitrary: fc.constant(1000) }, { weight: 1, arbitrary: fc.nat(3) }),
  /** What the hypervisor answers. */
  answer: fc.constantFrom(0, 0, 0, 0, -1),
});
type Call = typeof call extends fc.Arbitrary<infer Value> ? Value : never;
const ids = Object.keys(guestDefects) as GuestDefectId[];
const switches = fc.oneof(
  fc.constant(defectSwitches(guestDefects, 'rfc-v2')),
  fc.constant(defectSwitches(guestDefects, 'hardened')),
  fc
    .subarray(ids)
    .map((on) => defectSwitches(guestDefects, 'hardened', Object.fromEntries(on.map((id) => [id, true])))),
);

/** Under B-G15 a mapping may reach out of memory; what waits to be granted there is granted like the rest. */
const PENDING_OUTSIDE_MEMORY: [GuestDefectSwitches, Call[]] = [
  defectSwitches(guestDefects, 'hardened', { 'B-G15': true }),
  [
    {
      command: HekiCommand.PROTECT_MEMORY,
      leaves: [{ guestFrame: 1278 as Gfn, frames: 22, low: 0x161, high: 0x8000_0000 }],
      change: { set: 0, clear: 0, setGlobal: 0, early: false },
      inForce: false,
      pages: 1000,
      answer: 0,
    },
    {
      command: HekiCommand.MAP,
      leaves: [{ guestFrame: 1046 as Gfn, frames: 255, low: 0x163, high: 0 }],
      change: { set: 0, clear: 0, setGlobal: 0, early: true },
      inForce: true,
      pages: 1000,
      answer: 0,
    },
  ],
];

/** Frames whose counters or permissions differ from the model's. */
function differences(guest: HekiGuest, model: PageModel): unknown[] {
  const found: unknown[] = [];
  for (let frame = 0; frame < 2700; frame++) {
    const { read, write, execute } = guest.counters(frame as Gfn) ?? {};
    const expected = model.counters.get(frame) ?? [];
    const permissions = guest.permissions(frame as Gfn);
    if (
      read !== expected[0] ||
      write !== expected[1] ||
      execute !== expected[2] ||
      permissions !== model.permissions(frame)
    ) {
      found.push({ frame, got: [read, write, execute, permissions], expected });
    }
  }
  return found;
}

test('any calls leave the counters, send the bytes and give the results of the core that goes page by page', () => {
  fc.assert(
    fc.property(switches, fc.array(call, { maxLength: 14 }), (defects, calls) => {
      let answer = 0;
      let left = 0;
      const expectedLists: (readonly ModelListPage[])[] = [];
      const model = new PageModel(defects, {
        isValid,
        allocate: () => left-- > 0,
        protectMemory(list) {
          expectedLists.push(list);
          return answer;
        },
      });
      const tables = new GuestTables({ start: 2 ** 20 });
      const kernel = createTestKernel({ tables, validFrames: VALID });
      const lists: ModelListPage[][] = [];
      const guest = createHekiGuest({
        kernel,
        defects,
        hypervisor: {
          lockCrs: () => 0,
          protectMemory(list) {
            lists.push(readRawList(kernel.listMemory, list));
            return answer;
          },
        },
      });
      guest.earlyInit();
      let leaked = 0;
      for (const { command, leaves: mapped, change, inForce, pages, answer: wanted } of calls) {
        answer = wanted;
        left = pages;
        const { early, ...rest } = change;
        const protects = command === HekiCommand.PROTECT_MEMORY;
        const expected = model.apply(command, mapped, protects ? rest : change);
        const granted = inForce ? model.inForce() : 0;
        const sent = lists.length;
        kernel.allowPages(pages);
        expect(
          early && !protects
            ? guest.beginChange().leaves(command, mapped, rest)
            : guest.applyLeaves(command, mapped, rest),
        ).toBe(expected);
        if (inForce) expect(guest.beginChange().inForce()).toBe(granted);
        expect(lists.length).toBe(expectedLists.length);
        expect(lists.slice(sent)).toEqual(expectedLists.slice(sent));
        expect(guest.protectsMemory).toBe(model.protectsMemory);
        expect(differences(guest, model)).toEqual([]);
        expect(guest.countedFrames()).toBe(model.counters.size);
        if (answer !== 0 && defects['B-G1']) for (const list of lists.slice(sent)) leaked += list.length;
        expect(kernel.pagesInUse).toBe(leaked);
      }
    }),
    { numRuns: process.env.HEKI_FUZZ === 'long' ? 400 : 120, examples: [PENDING_OUTSIDE_MEMORY] },
  );
}, 60_000);
