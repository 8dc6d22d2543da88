import { type Gfn, gfn, type PhysicalMemory, type VirtualFrame, virtualFrame } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalFrame } from '../canonical.ts';
import { PageRights } from '../entries/page-rights.ts';
import { X86Error } from '../error.ts';
import { CR4 } from '../registers/control-registers.ts';
import { INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import { pagingRegisters } from '../registers/registers.ts';
import { memoryOf, tableFrame, tables } from '../testing/arbitrary-tables.ts';
import { everyMapping } from '../testing/every-mapping.ts';
import { at, drawTables, type PicturePath } from '../testing/table-picture.ts';
import { translate } from '../translate/translate.ts';
import type { MappingLeaf, MappingWalkOptions, SharedTable } from './mapping-walk.ts';
import { mappings } from './mappings.ts';
import { HARDWARE_PRESENCE, LINUX_PRESENCE } from './presence-policy.ts';
import { walkMappings } from './walk-mappings.ts';

const { WRITE, USER, EXECUTE_DISABLE } = PageRights;
const KERNEL = 0xffff_8000_0000_0000n;
const END = (2 ** 52) as VirtualFrame;
const frameOfVa = (va: bigint) => Number(va >> 12n) as VirtualFrame;

/** What a mapping maps, and how; not where. */
const textOf = (
  leaf: Omit<MappingLeaf, 'virtualFrame' | 'places' | 'guestFrame' | 'level'> & {
    guestFrame: number;
    level: number;
  },
) => `${leaf.guestFrame} ${leaf.frames} ${leaf.level} ${leaf.low} ${leaf.high} ${leaf.effective}`;

/** Both versions, which must agree; the leaves as plain objects, and the places that were passed over. */
function walk(options: MappingWalkOptions, start: VirtualFrame, end: VirtualFrame) {
  const leaves: MappingLeaf[] = [];
  const shared: SharedTable[] = [];
  // Visits and places in the order in which they came.
  const fastOrder: object[] = [];
  const fast = walkMappings(
    { ...options, onShared: (place) => shared.push(place) && fastOrder.push(place) },
    start,
    end,
    (leaf) => {
      leaves.push({ ...leaf });
      fastOrder.push({ ...leaf });
    },
  );
  const readableOrder: object[] = [];
  const walker = mappings({ ...options, onShared: (place) => readableOrder.push(place) }, start, end);
  let step = walker.next();
  for (; step.done !== true; step = walker.next()) readableOrder.push(step.value);
  expect(fastOrder).toEqual(readableOrder);
  expect(fast).toEqual(step.value);
  return { leaves, shared, result: fast };
}

function draw(paths: readonly PicturePath[], levels: 4 | 5 = 4): MappingWalkOptions {
  const { memory, root } = drawTables(paths, levels);
  return { memory, root, levels };
}

describe('a walk over mappings', () => {
  it('gives leaves of all sizes in order, with what each maps, its flags and those of all levels', () => {
    const options = draw([
      { va: KERNEL, leaf: 3, page: 0x4000_0000, entries: { 4: 'P RW A', 3: 'P RW A D G' } },
      { va: KERNEL + 0x4020_0000n, leaf: 2, page: 0x60_0000, bits: { 2: 0x1000n } },
      { va: KERNEL + 0x4040_3000n, leaf: 1, page: 0x9000, entries: { 2: 'P US A XD', 1: 'P RW US' } },
    ]);
    const { leaves, result } = walk(
      options,
      frameOfVa(KERNEL),
      (frameOfVa(KERNEL) + 2 ** 27) as VirtualFrame,
    );
    expect(result).toEqual({
      stoppedAt: undefined,
      leaves: 3,
      mappings: 3,
      tables: 4,
      absentTables: 0,
      sharedPlaces: 0,
      tablesAtSeveralLevels: 0,
    });
    const first = frameOfVa(KERNEL);
    expect(leaves).toEqual([
      {
        virtualFrame: first,
        guestFrame: 0x4_0000,
        frames: 2 ** 18,
        level: 3,
        low: 0x4000_01e3,
        high: 0,
        effective: WRITE,
        places: 1,
      },
      {
        virtualFrame: first + 0x4_0200,
        guestFrame: 0x600,
        frames: 512,
        level: 2,
        low: 0x60_10e7,
        high: 0,
        effective: WRITE,
        places: 1,
      },
      {
        virtualFrame: first + 0x4_0403,
        guestFrame: 9,
        frames: 1,
        level: 1,
        low: 0x9007,
        high: 0,
        effective: EXECUTE_DISABLE,
        places: 1,
      },
    ]);
  });

  it('clips leaves to the range', () => {
    const options = draw([{ va: 0n, leaf: 2, page: 0x60_0000 }]);
    const clipped = (start: number, end: number) =>
      walk(options, virtualFrame(start), virtualFrame(end)).leaves.map((leaf) => [
        leaf.virtualFrame,
        leaf.guestFrame,
        leaf.frames,
      ]);
    expect(clipped(0, 512)).toEqual([[0, 0x600, 512]]);
    expect(clipped(3, 5)).toEqual([[3, 0x603, 2]]);
    expect(clipped(500, 2000)).toEqual([[500, 0x7f4, 12]]);
    expect(clipped(512, 2 ** 35)).toEqual([]);
    expect(clipped(7, 7)).toEqual([]);
    expect(clipped(9, 7)).toEqual([]);
  });

  it('passes over the addresses that are not canonical', () => {
    const options = draw([
      { va: 0x7fff_ffff_f000n, leaf: 1, page: 0x5000 },
      { va: KERNEL, leaf: 1, page: 0x6000 },
      { va: 0xffff_ffff_ffff_f000n, leaf: 1, page: 0x7000 },
    ]);
    const { leaves } = walk(options, virtualFrame(0), (2 ** 52) as VirtualFrame);
    expect(leaves.map(({ virtualFrame: frame, guestFrame }) => [frame, guestFrame])).toEqual([
      [2 ** 35 - 1, 5],
      [2 ** 52 - 2 ** 35, 6],
      [2 ** 52 - 1, 7],
    ]);
  });

  it('goes through five levels', () => {
    const va = 0xff11_0000_0000_0000n;
    const { leaves } = walk(
      draw([{ va, leaf: 1, page: 0x5000 }], 5),
      frameOfVa(0xff00_0000_0000_0000n),
      (2 ** 52) as VirtualFrame,
    );
    expect(leaves).toMatchObject([{ virtualFrame: frameOfVa(va), guestFrame: 5, effective: WRITE | USER }]);
  });

  it('counts tables that memory does not hold, and goes on behind them', () => {
    const options = draw([
      { va: 0x20_0000n, leaf: 1, page: 0x5000 },
      { va: 0x40_0000n, leaf: 1, page: 0x6000 },
    ]);
    const picture = drawTables([{ va: 0x20_0000n, leaf: 1, page: 0x5000 }]);
    picture.setEntry(2, 0n, 0x77_7000n | 7n);
    expect(
      walk({ ...options, memory: picture.memory }, virtualFrame(0), virtualFrame(2 ** 18)),
    ).toMatchObject({
      leaves: [{ guestFrame: 5 }],
      result: { absentTables: 1, tables: 4 },
    });
  });

  it('stops at its budget when it goes to each place of tables that lead to each other', () => {
    // Every entry of the root is the root: 512^4 leaves.
    const options = { ...selfReferencing(), sharedTables: 'each', budget: 1000 } as const;
    const result = walkMappings(options, virtualFrame(0), END, () => {});
    // Four upper tables, and page tables of 512 leaves each.
    expect(result).toMatchObject({ tables: 1000, leaves: 996 * 512 });
    const short = { ...options, budget: 6 };
    expect(walk(short, virtualFrame(1), END)).toMatchObject({
      result: { stoppedAt: 3 * 512, tables: 6 },
    });
  });

  it('counts what memory lacks against its budget, too', () => {
    const root = new Uint32Array(1024).map((_, word) => (word % 2 === 0 ? (word + 2) * 4096 + 1 : 0));
    const memory = memoryOfPages(new Map([[1, root]]));
    const options = { memory, root: gfn(1), levels: 4, budget: 10 } as const;
    expect(walk(options, virtualFrame(0), END).result).toMatchObject({
      stoppedAt: 9 * 2 ** 27,
      tables: 1,
      absentTables: 9,
    });
  });

  it('refuses bounds that are not virtual frame numbers', () => {
    const options = draw([]);
    for (const bad of [-1, 0.5, 2 ** 52 + 1, Number.NaN]) {
      expect(() => walkMappings(options, bad as VirtualFrame, virtualFrame(5), () => {})).toThrow(X86Error);
      expect(() => walkMappings(options, virtualFrame(5), bad as VirtualFrame, () => {})).toThrow(X86Error);
    }
  });
});

/** Every entry of the root is the root. */
function selfReferencing(): MappingWalkOptions {
  const root = new Uint32Array(1024).map((_, word) => (word % 2 === 0 ? 0x1067 : 0));
  return { memory: memoryOfPages(new Map([[1, root]])), root: gfn(1), levels: 4 };
}

function memoryOfPages(pages: ReadonlyMap<number, Uint32Array>): PhysicalMemory<Gfn> {
  return { page: (frame) => pages.get(frame), writablePage: () => undefined };
}

/** Tables by frame, each a list of [slot, low half of the entry]; the root is frame 1. */
function handmade(contents: Readonly<Record<number, readonly (readonly [number, number])[]>>) {
  const pages = new Map(
    Object.entries(contents).map(([frame, entries]) => {
      const page = new Uint32Array(1024);
      for (const [slot, low] of entries) page[2 * slot] = low;
      return [Number(frame), page];
    }),
  );
  return { memory: memoryOfPages(pages), root: gfn(1), levels: 4 } as const;
}

const every = <Entry>(entry: Entry): (readonly [number, Entry])[] =>
  Array.from({ length: 512 }, (_, slot) => [slot, entry] as const);

describe('tables that several entries lead to', () => {
  // Like KASAN's shadow of untouched memory: five slots of the root, and below them one table a level, all of whose entries are alike.
  const KASAN = handmade({
    1: [256, 300, 301, 302, 303, 304].map((slot) => [slot, slot === 256 ? 0x6067 : 0x2067] as const),
    2: every(0x3067),
    3: every(0x4067),
    4: every(0x9_9161),
    6: [[0, 0x7067]],
    7: [[0, 0x80_00e3]],
  });

  it('are visited at their first place; what stands there says how many places it has', () => {
    const { leaves, shared, result } = walk(KASAN, virtualFrame(0), END);
    expect(leaves).toHaveLength(1 + 512);
    expect(leaves[0]).toMatchObject({ guestFrame: 0x800, places: 1 });
    for (const leaf of leaves.slice(1)) {
      expect(leaf).toMatchObject({ guestFrame: 0x99, places: 5 * 512 * 512, effective: 0 });
    }
    const first = frameOfVa(KERNEL) + (300 - 256) * 2 ** 27;
    expect(leaves[1]).toMatchObject({ virtualFrame: first });
    expect(result).toEqual({
      stoppedAt: undefined,
      leaves: 513,
      mappings: 1 + 5 * 512 ** 3,
      // The root is read for each half.
      tables: 2 + 2 + 3,
      absentTables: 0,
      sharedPlaces: 511 + 511 + 4,
      tablesAtSeveralLevels: 0,
    });
    expect(shared[0]).toEqual({
      virtualFrame: first + 512,
      frames: 512,
      table: 4,
      level: 1,
      visitedAt: first,
      mappings: 512,
    });
    expect(shared[511]).toMatchObject({
      virtualFrame: first + 2 ** 18,
      table: 3,
      level: 2,
      mappings: 2 ** 18,
    });
    expect(shared.at(-1)).toEqual({
      virtualFrame: first + 4 * 2 ** 27,
      frames: 2 ** 27,
      table: 2,
      level: 3,
      visitedAt: first,
      mappings: 2 ** 27,
    });
  });

  it('are walked like others where an end of the range cuts them', () => {
    const first = frameOfVa(KERNEL) + (300 - 256) * 2 ** 27;
    const { leaves, shared, result } = walk(
      KASAN,
      (first + 512 - 2) as VirtualFrame,
      (first + 3 * 512 + 3) as VirtualFrame,
    );
    // Two pages of the first place, the whole second one, and three pages of the fourth.
    expect(leaves.map(({ places }) => places)).toEqual([
      1,
      1,
      ...every(2).map(([, places]) => places),
      1,
      1,
      1,
    ]);
    expect(shared).toMatchObject([{ virtualFrame: first + 1024, visitedAt: first + 512, mappings: 512 }]);
    expect(result).toMatchObject({ leaves: 517, mappings: 2 + 1024 + 3 });
  });

  it('are visited once more under other rights', () => {
    const twice = handmade({
      1: [[300, 0x2067]],
      2: [[0, 0x3067]],
      3: [
        [0, 0x4067],
        [1, 0x4065],
        [2, 0x4067],
        [3, 0x4065],
      ],
      4: [[7, 0x9167]],
    });
    const { leaves, shared } = walk(twice, virtualFrame(0), END);
    const first = frameOfVa(KERNEL) + (300 - 256) * 2 ** 27;
    expect(leaves).toMatchObject([
      { virtualFrame: first + 7, effective: WRITE | USER, places: 2 },
      { virtualFrame: first + 512 + 7, effective: USER, places: 2 },
    ]);
    expect(shared).toMatchObject([
      { virtualFrame: first + 1024, visitedAt: first },
      { virtualFrame: first + 1536, visitedAt: first + 512 },
    ]);
  });

  it('count what is below them, and nothing is told of those that map nothing', () => {
    const empty = handmade({ 1: every(0x2067), 2: every(0x3067), 3: [] });
    expect(walk(empty, virtualFrame(0), END)).toMatchObject({
      leaves: [],
      shared: [],
      result: { mappings: 0, tables: 4, sharedPlaces: 0 },
    });
    const absent = handmade({ 1: every(0x2067) });
    expect(walk(absent, virtualFrame(0), END)).toMatchObject({ result: { tables: 2, absentTables: 1 } });
  });

  it('come to an end when they lead to themselves, and it is said that they stand at several levels', () => {
    const { leaves, result } = walk(selfReferencing(), virtualFrame(0), END);
    expect(leaves).toHaveLength(512);
    expect(leaves[5]).toMatchObject({ guestFrame: 1, places: 512 ** 3 });
    expect(result).toMatchObject({
      stoppedAt: undefined,
      mappings: 512 ** 4,
      tables: 4 + 1,
      tablesAtSeveralLevels: 1,
    });
  });

  it('say so, too, when only one slot of the root leads to the root', () => {
    const recursive = handmade({
      1: [
        [0, 0x2067],
        [511, 0x1063],
      ],
      2: [[0, 0x3067]],
      3: [[0, 0x4067]],
      4: [[0, 0x9067]],
    });
    const { leaves, result } = walk(recursive, virtualFrame(0), END);
    // The page; and page tables, page directories, the pointer table and the root as pages.
    expect(leaves.map(({ guestFrame }) => guestFrame)).toEqual([9, 4, 3, 2, 1]);
    // A page table cannot stand higher than it does.
    expect(result.tablesAtSeveralLevels).toBe(3);
  });
});

describe('presence as Linux sees it', () => {
  const leavesOf = (
    entries: Record<number, string>,
    bits: Record<number, bigint> = {},
    presence = LINUX_PRESENCE,
    leaf: 1 | 2 | 3 = 1,
  ) => {
    const options = draw([{ va: 0n, leaf, page: 0x60_0000, entries, bits }]);
    return walk({ ...options, presence }, virtualFrame(0), virtualFrame(2 ** 18)).leaves;
  };

  it('takes a PTE with PROTNONE for present, and undoes the inversion of its frame', () => {
    expect(leavesOf({ 1: 'G' })).toMatchObject([{ guestFrame: 2 ** 40 - 1 - 0x600, frames: 1 }]);
    expect(leavesOf({ 1: 'G' }, {}, HARDWARE_PRESENCE)).toEqual([]);
    expect(leavesOf({ 1: 'P' })).toMatchObject([{ guestFrame: 0x600 }]);
    expect(leavesOf({ 1: 'P G' })).toMatchObject([{ guestFrame: 0x600 }]);
    expect(leavesOf({ 1: 'RW US A D' })).toEqual([]);
    expect(leavesOf({ 1: 'PAT' })).toEqual([]);
  });

  it('takes a PDE with PSE for a leaf, present or not, and undoes the inversion of its frame', () => {
    const large = (flags: string, bits = {}, presence = LINUX_PRESENCE) =>
      leavesOf({ 2: flags }, bits, presence, 2);
    const inverted = 2 ** 40 - 2 ** 9 - 0x600;
    expect(large('RW A D')).toMatchObject([{ guestFrame: inverted, frames: 512, level: 2 }]);
    expect(large('G')).toMatchObject([{ guestFrame: inverted }]);
    // pfn_pte over a large leaf inverts the bits below its size as well.
    expect(large('RW', { 2: 0x1f_f000n })).toMatchObject([{ guestFrame: inverted }]);
    expect(large('P RW')).toMatchObject([{ guestFrame: 0x600 }]);
    expect(large('RW', {}, HARDWARE_PRESENCE)).toEqual([]);
  });

  it('undoes the inversion of a frame in all address bits but the C-bit', () => {
    const encryptionBit = 51;
    const frame = (bits: bigint, flags: string) => {
      const options = draw([{ va: 0n, leaf: 1, page: 0x60_0000, entries: { 1: flags }, bits: { 1: bits } }]);
      const linux = { ...options, presence: LINUX_PRESENCE, encryptionBit };
      return walk(linux, virtualFrame(0), virtualFrame(1)).leaves.map(({ guestFrame }) => guestFrame);
    };
    for (const bits of [0n, 1n << 51n]) {
      expect(frame(bits, 'G')).toEqual([2 ** 39 - 1 - 0x600]);
      expect(frame(bits, 'P')).toEqual([0x600]);
    }
  });

  it('takes a PDE with PROTNONE alone for a table, which its bits name as they are', () => {
    const options = draw([{ va: 0n, leaf: 1, page: 0x60_0000, entries: { 2: 'G' } }]);
    const linux = { ...options, presence: LINUX_PRESENCE };
    expect(walk(linux, virtualFrame(0), virtualFrame(512)).leaves).toMatchObject([{ guestFrame: 0x600 }]);
    expect(walk(options, virtualFrame(0), virtualFrame(512)).leaves).toEqual([]);
  });

  it('takes a PDPTE for present by P alone, and for a leaf by P and PSE', () => {
    expect(leavesOf({ 3: 'RW' }, {}, LINUX_PRESENCE, 3)).toEqual([]);
    expect(leavesOf({ 3: 'RW G' }, {}, LINUX_PRESENCE, 3)).toEqual([]);
    expect(leavesOf({ 3: 'P' }, {}, LINUX_PRESENCE, 3)).toMatchObject([{ guestFrame: 0, frames: 2 ** 18 }]);
    expect(leavesOf({ 4: 'G PS' })).toEqual([]);
  });
});

describe('the two versions', () => {
  const range = fc
    .tuple(tableFrame, fc.oneof(fc.nat(2000), fc.constantFrom(2 ** 18, 2 ** 30, 2 ** 44, 2 ** 52)))
    .map(([start, frames]) => [start, frames] as const);

  it('agree on every leaf and every count, whatever the tables hold', () => {
    let met = 0;
    fc.assert(
      fc.property(
        tables,
        range,
        fc.constantFrom(4 as const, 5 as const),
        fc.constantFrom(HARDWARE_PRESENCE, LINUX_PRESENCE),
        fc.nat(40),
        fc.constantFrom('once' as const, 'each' as const),
        fc.constantFrom(undefined, undefined, 36, 51),
        (entries, [start, frames], levels, presence, budget, sharedTables, encryptionBit) => {
          const memory = memoryOf(entries);
          const options = { memory, root: gfn(0), levels, presence, budget, sharedTables, encryptionBit };
          const first = canonicalFrame(start, levels);
          met += walk(options, first, Math.min(2 ** 52, first + frames) as VirtualFrame).leaves.length;
        },
      ),
      { numRuns: 1000 },
    );
    expect(met).toBeGreaterThan(0);
  });

  it('find what is mapped at every address, each as often as it is there', () => {
    let shared = 0;
    fc.assert(
      fc.property(
        tables,
        range,
        fc.constantFrom(4 as const, 5 as const),
        fc.constantFrom(HARDWARE_PRESENCE, LINUX_PRESENCE),
        (entries, [start, frames], levels, presence) => {
          const memory = memoryOf(entries);
          const options = { memory, root: gfn(0), levels, presence };
          const first = canonicalFrame(start, levels);
          const end = Math.min(2 ** 52, first + frames) as VirtualFrame;
          const expected = everyMapping(memory, levels, presence, first, end);
          const once = walk(options, first, end);
          shared += once.shared.length;
          const counted = new Map<string, number>();
          const count = (mapping: string, by: number) =>
            counted.set(mapping, (counted.get(mapping) ?? 0) + by);
          for (const leaf of once.leaves) count(textOf(leaf), leaf.places);
          for (const { virtualFrame: _, entry, writable, user, executeDisable, ...leaf } of expected) {
            const effective =
              (writable ? WRITE : 0) | (user ? USER : 0) | (executeDisable ? EXECUTE_DISABLE : 0);
            const low = Number(entry & 0xffff_ffffn);
            count(textOf({ ...leaf, low, high: Number(entry >> 32n), effective }), -1);
          }
          expect([...counted.values()].filter((difference) => difference !== 0)).toEqual([]);
          expect(once.result.mappings).toBe(expected.length);

          // Every address is visited, or lies in a place that was passed over.
          const here = (from: number, to: number) =>
            expected.filter(({ virtualFrame: at }) => at >= from && at < to);
          for (const place of once.shared) {
            expect(here(place.virtualFrame, place.virtualFrame + place.frames)).toHaveLength(place.mappings);
          }
          const passed = once.shared.reduce((sum, place) => sum + place.mappings, 0);
          expect(once.leaves.length + passed).toBe(expected.length);

          const each: number[] = [];
          walkMappings({ ...options, sharedTables: 'each' }, first, end, ({ virtualFrame: at, places }) => {
            each.push(at);
            if (places !== 1) throw new Error(`a leaf at ${at} has ${places} places`);
          });
          expect(each).toEqual(expected.map(({ virtualFrame: at }) => at));
        },
      ),
      { numRuns: 500 },
    );
    expect(shared).toBeGreaterThan(0);
  });

  it('find a mapping where a translation finds one, with the same frame and rights', () => {
    const encryption = fc.constantFrom(undefined, undefined, 36, 51);
    let mapped = 0;
    fc.assert(
      fc.property(
        tables,
        tableFrame,
        fc.constantFrom(4, 5),
        encryption,
        (entries, frame, levels, encryptionBit) => {
          const memory = memoryOf(entries);
          const profile = { ...INTEL_VT_RP, maxPhysicalAddressBits: 52, encryptionBit };
          const virtual = canonicalFrame(frame, levels);
          const registers = pagingRegisters({ cr4: CR4.PAE | (levels === 5 ? CR4.LA57 : 0n) });
          const read = { kind: 'read', mode: 'supervisor' } as const;
          const { outcome } = translate(registers, memory, at(BigInt(virtual) << 12n), read, profile);
          if (outcome.kind === 'page-fault' && outcome.causes[0].rule === 'reserved-bit') return;
          const options = { memory, root: gfn(0), levels, encryptionBit };
          const { leaves } = walk(options, virtual, (virtual + 1) as VirtualFrame);
          expect(leaves).toHaveLength(outcome.kind === 'mapped' ? 1 : 0);
          const [leaf] = leaves;
          if (outcome.kind !== 'mapped' || leaf === undefined) return;
          mapped++;
          const { user, writable, executeDisable } = outcome.rights;
          expect(leaf).toMatchObject({
            guestFrame: outcome.gpa / 4096,
            level: outcome.level,
            effective: (user ? USER : 0) | (writable ? WRITE : 0) | (executeDisable ? EXECUTE_DISABLE : 0),
          });
        },
      ),
      { numRuns: 1500 },
    );
    expect(mapped).toBeGreaterThan(0);
  });
});
