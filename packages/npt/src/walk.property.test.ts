import { isDeepStrictEqual } from 'node:util';
import type { Gfn, PageView, Pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import { AMD_ZEN4 } from '@heki/x86';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { explainNptWalk } from './explain.ts';
import { createNpt } from './npt.ts';
import { createTableMemory } from './testing/table-memory.ts';

const FRAMES = 7;
const INDICES = [0, 1, 511] as const;
const A = SecondLevelAccess;

const rarely = (bit: number) =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(bit) });

/** Entries that lead to tables, loop, are leaves of any size, or are odd in any one way. */
const entry = fc
  .record({
    rights: fc.constantFrom(7, 7, 7, 7, 5, 3, 1, 0),
    large: fc.constantFrom(0, 0, 0, 0x80),
    flags: fc.constantFrom(0, 0x20, 0x40, 0x60),
    global: rarely(0x100),
    frame: fc.oneof(
      // One frame beyond the memory there is.
      { weight: 5, arbitrary: fc.nat(FRAMES) },
      { weight: 2, arbitrary: fc.constantFrom(0x200, 0x201, 0x4_0000, 0x4_0201) },
      { weight: 1, arbitrary: fc.nat(0xf_ffff) },
    ),
    high: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.constant(0x8000_0000) },
      { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
    ),
  })
  .map(
    ({ rights, large, flags, global, frame, high }) =>
      (BigInt(high) << 32n) | (BigInt(frame) << 12n) | BigInt(rights | large | flags | global),
  );
const garbage = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const tables = fc.array(fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: garbage }), {
  minLength: FRAMES * INDICES.length,
  maxLength: FRAMES * INDICES.length,
});

const setup = fc
  .record({
    root: fc.constant(0 as Pfn),
    levels: fc.constantFrom(4 as const, 5 as const),
    hostNxe: fc.constantFrom(true, true, false),
    hostSmep: fc.boolean(),
    controls: fc.record({ gmet: fc.boolean(), readOnlyGuestPageTables: fc.boolean() }),
    gigabytePages: fc.boolean(),
    maxPhysicalAddressBits: fc.constantFrom(32, 40, 48, 52),
  })
  .map(({ gigabytePages, maxPhysicalAddressBits, ...rest }) => ({
    ...rest,
    profile: { ...AMD_ZEN4, gigabytePages, maxPhysicalAddressBits },
  }));

const index = fc.constantFrom<number>(...INDICES);
const request = fc.record({
  gfn: fc
    .tuple(fc.constantFrom(0, 0, 0, 1), index, index, index, index)
    .map((indices) => indices.reduce((frame, i) => frame * 512 + i, 0) as Gfn),
  offset: fc.nat(4095),
  access: fc
    .tuple(
      fc.constantFrom(
        A.READ,
        A.WRITE,
        A.READ | A.WRITE,
        A.FETCH,
        A.READ | A.PAGING_STRUCTURE,
        A.WRITE | A.PAGING_STRUCTURE,
      ),
      fc.constantFrom(0, A.USER_ACCESS),
      fc.constantFrom(0, A.USER_PAGE),
    )
    .map(([kind, mode, page]) => kind | mode | page),
});

function memoryOf(entries: readonly bigint[]) {
  const memory = createTableMemory(FRAMES);
  entries.forEach((value, i) => {
    const slot = INDICES[i % INDICES.length] ?? 0;
    memory.write(Math.floor(i / INDICES.length) * 4096 + slot * 8, value);
  });
  return memory;
}

function samePage(page: PageView | undefined, other: PageView | undefined): boolean {
  for (let word = 0; word < 1024; word++) if (page?.[word] !== other?.[word]) return false;
  return true;
}

/** Asks `expect` only about what differs: it takes as long as a walk. */
function same(got: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(got, wanted)) expect(got).toEqual(wanted);
}

/** One way to make each kind of access that a cache may be asked for. */
const FROM_CACHE = [
  [SecondLevelRights.READ, A.READ],
  [SecondLevelRights.WRITE, A.READ | A.WRITE],
  [SecondLevelRights.FETCH_SUPERVISOR, A.FETCH],
  [SecondLevelRights.FETCH_SUPERVISOR_FROM_USER_PAGE, A.FETCH | A.USER_PAGE],
  [SecondLevelRights.FETCH_USER, A.FETCH | A.USER_PAGE | A.USER_ACCESS],
  [SecondLevelRights.READ_PAGING_STRUCTURE, A.READ | A.PAGING_STRUCTURE],
  [SecondLevelRights.WRITE_PAGING_STRUCTURE, A.WRITE | A.PAGING_STRUCTURE],
] as const;

it('the two versions of the nested walk agree on outcome, fault and every byte, whatever the tables hold', () => {
  fc.assert(
    fc.property(
      tables,
      setup,
      fc.array(request, { minLength: 1, maxLength: 5 }),
      (entries, how, requests) => {
        const memory = memoryOf(entries);
        const expected = memoryOf(entries);
        const npt = createNpt({ ...how, memory });
        for (const { gfn, offset, access } of requests) {
          const walk = explainNptWalk({ ...how, memory: expected, gfn, offset, access });
          same(npt.explain(gfn, offset, access), walk);
          const frame = npt.translate(gfn, offset, access);
          if (!walk.allowed) {
            same(frame, REFUSED);
            same(npt.fault, walk.fault);
            continue;
          }
          for (const update of walk.updates) expected.write(update.address, update.entry);
          same(frame, walk.pfn);
          same(npt.level, walk.level);
          for (const [right, cached] of FROM_CACHE) {
            const again = explainNptWalk({ ...how, memory: expected, gfn, offset, access: cached });
            same((npt.rights & right) !== 0, again.allowed && again.updates.length === 0);
          }
        }
        for (let frame = 0; frame < FRAMES; frame++) {
          same(samePage(memory.page(frame as Pfn), expected.page(frame as Pfn)), true);
        }
      },
    ),
    { numRuns: 2500 },
  );
});
