import { XenAccess, type XenAccessType } from '@heki/hypercall/xen';
import { createGuestRegions, type GuestRegions } from '@heki/hypervisor';
import { createFrameAllocator, createRam, type Gfn, type Pfn } from '@heki/physical-memory';
import { INTEL_SKYLAKE, INTEL_VT_RP } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eptRightsOf } from './access-rights.ts';
import { createP2m, type P2m } from './p2m.ts';
import { FULL_ACCESS, type View } from './view.ts';

const { R, RX, RW, N, RWX, W, WX, X } = XenAccess;
const TABLES = 0x10;
const BACKING = 0x10_0000 as Pfn;
/** Two regions with a hole between them, one of them read-only; a large page at an end of each is not a whole one. */
const REGIONS = [
  { start: 0 as Gfn, frames: 0x5f0, backing: BACKING },
  { start: 0xa10 as Gfn, frames: 0x3f0, backing: (BACKING + 0x1010) as Pfn, readOnly: true },
] as const;
const END = 0xe10;

interface Domain {
  readonly p2m: P2m;
  readonly regions: GuestRegions;
  /** Frames for tables that are left. */
  left(): number;
}

/** A domain whose tables have `tables` frames. */
function createDomain(tables = 0x100, processor = INTEL_VT_RP, largestLeaf?: 1 | 512): Domain {
  const ranges = [{ start: TABLES as Pfn, end: (TABLES + tables) as Pfn }];
  const memory = createRam<Pfn>({ ranges });
  const allocator = createFrameAllocator<Pfn>({ ranges });
  let taken = 0;
  const frames = {
    allocate: () => {
      const frame = allocator.allocate();
      if (frame !== undefined) taken++;
      return frame;
    },
    free: (frame: Pfn) => {
      taken--;
      allocator.free(frame);
    },
  };
  const regions = createGuestRegions(memory);
  const p2m = createP2m({ memory, frames }, processor, regions);
  for (const region of REGIONS) {
    const added = largestLeaf === undefined ? region : { ...region, largestLeaf };
    regions.add(added);
    expect(p2m.host.populate(added)).toBe(true);
  }
  return { p2m, regions, left: () => tables - taken };
}

/** What the tables grant for each frame: EPT rights, or -1 where no entry is. Every entry must lead to its frame's memory. */
function entriesOf(view: View, regions: GuestRegions): Int32Array {
  const entries = new Int32Array(END).fill(-1);
  view.editor.forEachLeaf(0 as Gfn, END as Gfn, (first, level, low, high) => {
    const span = 512 ** (level - 1);
    const pfn = (low >>> 12) + (high & 0xf_ffff) * 2 ** 20;
    for (let gfn: number = first; gfn < first + span; gfn++) {
      const region = regions.find(gfn as Gfn);
      if (region === undefined || span > (region.largestLeaf ?? 2 ** 18)) {
        throw new Error(`frame ${gfn} has a leaf of ${span} frames`);
      }
      const target = pfn - (pfn % span) + (gfn - first);
      if (target !== region.backing + (gfn - region.start))
        throw new Error(`frame ${gfn} leads to ${target}`);
      entries[gfn] = low & 0x407;
    }
  });
  return entries;
}

/** What {@link entriesOf} has for one frame. */
function entryOf(view: View, regions: GuestRegions, gfn: number): number {
  return entriesOf(view, regions)[gfn] ?? -1;
}

/** What the entry of a frame must be, if there is one; -1: there must be none. */
function rightsOf(view: View, regions: GuestRegions, gfn: number): number {
  const region = regions.find(gfn as Gfn);
  return (region && eptRightsOf(view.accessOf(gfn as Gfn), region.readOnly === true)) || -1;
}

/** No entry may say anything else than the access type of its frame; with `whole`, every frame that has rights has one. */
function expectTruth(view: View, regions: GuestRegions, whole: boolean): void {
  const expected = Int32Array.from({ length: END }, (_, gfn) => rightsOf(view, regions, gfn));
  const entries = entriesOf(view, regions);
  if (!whole) for (const [gfn, entry] of entries.entries()) if (entry < 0) expected[gfn] = -1;
  const wrong = [...entries.keys()].filter((gfn) => entries[gfn] !== expected[gfn]);
  expect(wrong).toEqual([]);
}

const access = fc.constantFrom<XenAccessType[]>(N, R, RW, RX, RWX);
const frame = fc.oneof(
  fc.constantFrom(0, 1, 0x1ff, 0x200, 0x201, 0x3ff, 0x400, 0x5f0, 0xa10, 0xbff, 0xc00, 0xe00, END),
  fc.nat(END),
);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('set' as const), range: fc.tuple(frame, frame), access }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('propagate' as const), frame }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('default' as const), access }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), access }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('away-and-back' as const), region: fc.nat(1) }) },
);

describe('a p2m', () => {
  it.each([
    ['the host p2m', 0],
    ['a view', 1],
  ] as const)('says of every frame what its access type says, whatever is done to it: %s', (_, index) => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 12 }),
        fc.constantFrom(undefined, 1 as const, 512 as const),
        fc.constantFrom(0x100, 0x100, 6, 7, 9),
        (steps, largestLeaf, tables) => {
          // With few frames for tables, operations end half-way; a leaf for every frame takes eight tables from the start.
          const few = tables < 10 && largestLeaf !== 1;
          const { p2m, regions } = createDomain(few ? tables : 0x100, INTEL_VT_RP, largestLeaf);
          if (index === 1 && p2m.createView(RX) !== 1) return;
          const view = p2m.views[index];
          if (view === undefined) throw new TypeError('no view');
          /** Page by page; `undefined` is the default. */
          const own: (XenAccessType | undefined)[] = Array.from({ length: END });
          let otherwise: XenAccessType = view.defaultAccess;
          for (const each of steps) {
            switch (each.kind) {
              case 'set': {
                const [from, to] = [Math.min(...each.range), Math.max(...each.range)] as [Gfn, Gfn];
                const { pages, error } = p2m.setAccess(view, from, to, each.access);
                const memory = [...own.keys()].filter(
                  (gfn) => gfn >= from && gfn < to && regions.find(gfn as Gfn),
                );
                expect(error).toBe(memory.length === 0 ? -3 : pages < memory.length ? -12 : 0);
                if (!few) expect(pages).toBe(memory.length);
                for (const gfn of memory.slice(0, pages)) own[gfn] = each.access;
                break;
              }
              case 'propagate': {
                const done = view.propagate(each.frame as Gfn);
                if (!few) expect(done).toBe(true);
                const rights = rightsOf(view, regions, each.frame);
                if (done && rights >= 0) expect(entryOf(view, regions, each.frame)).toBe(rights);
                break;
              }
              case 'default':
                expect(p2m.setDefault(view, each.access)).toBe(0);
                otherwise = each.access;
                break;
              case 'reset':
                view.replace(each.access);
                own.fill(undefined);
                otherwise = each.access;
                break;
              case 'away-and-back': {
                const region = regions.remove(REGIONS[each.region]?.start ?? (0 as Gfn));
                view.drop(region.start, (region.start + region.frames) as Gfn);
                expectTruth(view, regions, false);
                regions.add(region);
                const done = index === 1 || view.populate(region);
                if (!few) expect(done).toBe(true);
              }
            }
          }
          expect(own.map((type) => type ?? otherwise)).toEqual(
            own.map((_, gfn) => view.accessOf(gfn as Gfn)),
          );
          expectTruth(view, regions, !few && index === 0);
        },
      ),
      { numRuns: 120 },
    );
  });

  it('copies an entry of 2 MiB only where all 512 pages have one type, and else one page', () => {
    const { p2m, regions } = createDomain();
    const index = p2m.createView(RX);
    const view = p2m.views[index];
    if (view === undefined) throw new TypeError('no view');
    expect(view.propagate(0x12 as Gfn)).toBe(true);
    expect(view.editor.leaf(0x1ff as Gfn)).toMatchObject({ gfn: 0, level: 2 });
    view.setAccess(0x300 as Gfn, 0x301 as Gfn, N);
    expect(view.propagate(0x212 as Gfn)).toBe(true);
    expect([0x211, 0x212, 0x213, 0x300].map((gfn) => entryOf(view, regions, gfn))).toEqual([
      -1, 0x405, -1, -1,
    ]);
    for (const gfn of [0x5ef, 0xa10] as Gfn[]) {
      expect(view.propagate(gfn)).toBe(true);
      expect(view.editor.leaf(gfn)).toMatchObject({ gfn, level: 1 });
    }
    // Nothing is to be copied where no memory is.
    expect(view.propagate(0x800 as Gfn)).toBe(true);
    expect(entryOf(view, regions, 0x800)).toBe(-1);
  });

  it('maps 1 GiB with one leaf, or with no larger ones than the host has, whatever is changed in it', () => {
    for (const [largestLeaf, level] of [
      [512, 2],
      [262144, 3],
    ] as const) {
      const { p2m, regions } = createDomain();
      const region = {
        start: (2 ** 18) as Gfn,
        frames: 2 ** 18,
        backing: (2 ** 22) as Pfn,
        largestLeaf,
      } as const;
      regions.add(region);
      expect(p2m.host.populate(region)).toBe(true);
      const levelNow = () => p2m.host.editor.leaf((region.start + 5) as Gfn)?.level;
      expect(levelNow()).toBe(level);
      for (const access of [R, RWX]) {
        p2m.setAccess(p2m.host, region.start, (2 * region.start) as Gfn, access);
        expect(levelNow()).toBe(level);
      }
    }
  });

  it('has the new default in force everywhere at once, in every region and beside the types of single pages', () => {
    const { p2m, regions } = createDomain();
    p2m.setAccess(p2m.host, 0x10 as Gfn, 0x11 as Gfn, RWX);
    expect(p2m.setDefault(p2m.host, R)).toBe(0);
    expect([0, 0xf, 0x10, 0x11, 0x5ef, 0xa10, 0xdff].map((gfn) => entryOf(p2m.host, regions, gfn))).toEqual([
      1, 1, 0x407, 1, 1, 1, 1,
    ]);
    const index = p2m.createView(RX);
    p2m.views[index]?.propagate(0 as Gfn);
    for (const change of [
      () => p2m.setDefault(p2m.views[index] as View, RW),
      () => p2m.views[index]?.replace(R),
    ]) {
      p2m.views[index]?.propagate(0 as Gfn);
      expect(entryOf(p2m.views[index] as View, regions, 0)).not.toBe(-1);
      change();
      // A view is filled as it is used.
      for (const gfn of [0, 0x5ef, 0xa10]) expect(entryOf(p2m.views[index] as View, regions, gfn)).toBe(-1);
    }
    p2m.host.replace(RX);
    expect([0, 0x10, 0x5ef, 0xa10, 0xdff].map((gfn) => entryOf(p2m.host, regions, gfn))).toEqual([
      0x405, 0x405, 0x405, 0x405, 0x405,
    ]);
  });

  it('keeps the types of single pages under a new default for which no table is left', () => {
    const { p2m, regions, left } = createDomain(6);
    expect(p2m.setDefault(p2m.host, R)).toBe(0);
    p2m.setAccess(p2m.host, 0x10 as Gfn, 0x11 as Gfn, R);
    for (let gfn = 0x210; left() > 0 && gfn < 0x600; gfn += 0x200) {
      p2m.setAccess(p2m.host, gfn as Gfn, (gfn + 1) as Gfn, RX);
    }
    expect(left()).toBe(0);
    expect(p2m.setDefault(p2m.host, RWX)).toBe(0);
    expect(p2m.host.accessOf(0x10 as Gfn)).toBe(R);
    expect([-1, 1]).toContain(entryOf(p2m.host, regions, 0x10));
    expectTruth(p2m.host, regions, false);
  });

  it('takes memory out of the tables also when none is left to split what straddles its end', () => {
    // Two regions that lie and are backed in a row share one leaf of 1 GiB.
    const ranges = [{ start: TABLES as Pfn, end: (TABLES + 3) as Pfn }];
    const memory = createRam<Pfn>({ ranges });
    const regions = createGuestRegions(memory);
    const frames = createFrameAllocator<Pfn>({ ranges });
    const { host } = createP2m({ memory, frames }, INTEL_VT_RP, regions);
    for (const start of [0, 0x2_0000] as Gfn[]) {
      const region = { start, frames: 0x2_0000, backing: (2 ** 20 + start) as Pfn };
      regions.add(region);
      expect(host.populate(region)).toBe(true);
    }
    expect(host.editor.leaf(0 as Gfn)).toMatchObject({ level: 3 });
    const taken = frames.allocate();
    regions.remove(0x2_0000 as Gfn);
    host.drop(0x2_0000 as Gfn, 0x4_0000 as Gfn);
    expect(host.editor.leaf(0x2_0000 as Gfn)).toBeUndefined();
    // What is left comes again when it is used, as soon as there is a frame.
    expect(host.propagate(0 as Gfn)).toBe(false);
    if (taken !== undefined) frames.free(taken);
    expect(host.propagate(0 as Gfn)).toBe(true);
    expect(host.editor.leaf(0x2_0000 as Gfn)).toBeUndefined();
  });
});

describe('what EPT cannot hold', () => {
  it.each([
    ['w', W, INTEL_VT_RP],
    ['wx', WX, INTEL_VT_RP],
    [
      'x without execute-only entries',
      X,
      { ...INTEL_SKYLAKE, ept: INTEL_SKYLAKE.ept && { ...INTEL_SKYLAKE.ept, executeOnly: false } },
    ],
  ] as const)('is refused for a page, as a default, and for a new view: %s', (_, type, profile) => {
    const { p2m, regions } = createDomain(0x100, profile);
    expect(p2m.setAccess(p2m.host, 0 as Gfn, 1 as Gfn, type)).toEqual({ pages: 0, error: -22 });
    expect(p2m.setDefault(p2m.host, type)).toBe(-22);
    expect(p2m.createView(type)).toBe(-22);
    expect(p2m.views).toHaveLength(1);
    expect(p2m.host.accessOf(0 as Gfn)).toBe(FULL_ACCESS);
    expect(entryOf(p2m.host, regions, 0)).toBe(0x407);
    if (type === X) expect(createDomain().p2m.setAccess(p2m.host, 0 as Gfn, 1 as Gfn, type).error).toBe(0);
  });
});

describe('views', () => {
  it('are ten at most; one that goes leaves its number and its tables to the next', () => {
    const { p2m, left } = createDomain();
    const before = left();
    const made = Array.from({ length: 11 }, () => p2m.createView(R));
    expect(made).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -12]);
    p2m.views[4]?.propagate(0 as Gfn);
    expect(p2m.destroyView(4)).toBe(0);
    expect(p2m.views[4]).toBeUndefined();
    expect(p2m.destroyView(4)).toBe(-22);
    expect(p2m.destroyView(0)).toBe(-22);
    expect(p2m.destroyView(11)).toBe(-22);
    expect([p2m.createView(N), p2m.createView(N)]).toEqual([4, -12]);
    expect(p2m.views[4]?.defaultAccess).toBe(N);
    for (let index = 1; index <= 10; index++) expect(p2m.destroyView(index)).toBe(0);
    expect(left()).toBe(before);
  });
});
