import {
  createFrameAllocator,
  createRam,
  type FrameAllocator,
  type Gfn,
  gfn,
  type PhysicalMemory,
  type U64,
  type VirtualFrame,
  virtualFrame,
} from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalFrame } from '../canonical.ts';
import { EntryLow, type LeafLevel } from '../entries/entry.ts';
import { X86Error } from '../error.ts';
import { mappings } from '../mappings/mappings.ts';
import { walkMappings } from '../mappings/walk-mappings.ts';
import { bytesOf, memoryOf, tableFrame, tables } from '../testing/arbitrary-tables.ts';
import { PageModel } from '../testing/page-model.ts';
import { type AddressSpace, createAddressSpace, entryBits } from './address-space.ts';
import type { EditResult } from './edit.ts';

const NOTHING: U64 = { low: 0, high: 0 };
const DATA = entryBits('P', 'RW', 'A', 'D', 'G', 'XD');
const TEXT = entryBits('P', 'A', 'D', 'G');

interface World {
  readonly memory: PhysicalMemory<Gfn>;
  readonly frames: FrameAllocator<Gfn>;
  readonly space: AddressSpace;
}

function create(tableFrames = 64, largestLeaf: LeafLevel = 3): World {
  const range = { start: gfn(0x100), end: gfn(0x100 + tableFrames) };
  const memory = createRam<Gfn>({ ranges: [range] });
  const frames = createFrameAllocator<Gfn>({ ranges: [range] });
  return { memory, frames, space: createAddressSpace({ memory, tables: frames, levels: 4, largestLeaf }) };
}

function leavesOf({ memory, space }: World, start = 0, end = 2 ** 35) {
  const { root, levels } = space;
  return [...mappings({ memory, root, levels }, virtualFrame(start), virtualFrame(end))];
}

const vf = (frame: number) => frame as VirtualFrame;
const DONE: EditResult = { stoppedAt: undefined, why: undefined, stale: [] };

describe('an address space', () => {
  it('maps with the largest leaves that address and target allow', () => {
    const world = create();
    expect(world.space.map(vf(510), vf(2 ** 19), gfn(510), DATA)).toEqual(DONE);
    expect(leavesOf(world).map(({ virtualFrame: frame, level }) => [frame, level])).toEqual([
      [510, 1],
      [511, 1],
      ...Array.from({ length: 511 }, (_, i) => [512 * (i + 1), 2]),
      [2 ** 18, 3],
    ]);
    expect(world.space.tablePages).toBe(4);
  });

  it('has PAT in bit 7 of a small page, and nothing but its frame in bit 12', () => {
    for (const frame of [6, 7]) {
      const { space } = create();
      space.map(vf(0), vf(1), gfn(frame), TEXT);
      const set = (low: number) =>
        space.change(vf(0), vf(1), { clear: NOTHING, set: { low, high: 0 } }).stale;
      expect(set(2)).toEqual([]);
      expect(set(0x80)).toEqual([{ start: 0, end: 1 }]);
      expect(set(0x80)).toEqual([]);
    }
  });

  it('keeps to small leaves where the target is not aligned, or larger ones are not wanted', () => {
    const world = create();
    world.space.map(vf(0), vf(512), gfn(1), DATA);
    expect(leavesOf(world)).toHaveLength(512);
    world.space.map(vf(0), vf(512), gfn(0), DATA, 1);
    expect(leavesOf(world)).toHaveLength(512);
    world.space.map(vf(0), vf(512), gfn(0), DATA);
    expect(leavesOf(world)).toHaveLength(1);
    expect(world.space.tablePages).toBe(3);
  });

  it('gives a large leaf its PAT bit where large leaves have it, and back when it is split', () => {
    const world = create();
    const writeCombining = entryBits('P', 'RW', 'PAT', 'PCD');
    world.space.map(vf(0), vf(512), gfn(0x400), writeCombining);
    expect(leavesOf(world)[0]?.low).toBe(0x40_0000 | 0x1093);
    expect(world.space.split(vf(7), 1).stale).toEqual([{ start: 0, end: 512 }]);
    expect(leavesOf(world)[7]?.low).toBe(0x40_7000 | 0x93);
    world.space.change(vf(0), vf(512), { clear: entryBits('PAT'), set: NOTHING });
    expect(leavesOf(world)[7]?.low).toBe(0x40_7000 | 0x13);
  });

  it('changes bits of a part of a large leaf by splitting it', () => {
    const world = create();
    world.space.map(vf(0), vf(2 ** 18), gfn(0), DATA);
    const { stale } = world.space.change(vf(1000), vf(1001), { clear: entryBits('RW'), set: NOTHING });
    expect(stale).toEqual([{ start: 0, end: 2 ** 18 }]);
    const writable = leavesOf(world).filter(({ low }) => (low & EntryLow.RW) !== 0);
    expect(writable.reduce((sum, { frames }) => sum + frames, 0)).toBe(2 ** 18 - 1);
  });

  it('needs no flush for new mappings, added rights and flags that the processor ignores', () => {
    const { space } = create();
    expect(space.map(vf(0), vf(2048), gfn(0), TEXT).stale).toEqual([]);
    expect(space.change(vf(0), vf(2048), { clear: NOTHING, set: entryBits('RW', 'US') }).stale).toEqual([]);
    expect(space.change(vf(0), vf(2048), { clear: NOTHING, set: { low: 0x200, high: 0 } }).stale).toEqual([]);
    expect(space.map(vf(0), vf(2048), gfn(0), entryBits('P', 'RW', 'US', 'A', 'D', 'G')).stale).toEqual([]);
  });

  it.each([
    ['R/W away', { clear: entryBits('RW'), set: NOTHING }],
    ['U/S away', { clear: entryBits('US'), set: NOTHING }],
    ['D away', { clear: entryBits('D'), set: NOTHING }],
    ['XD', { clear: NOTHING, set: entryBits('XD') }],
    ['another memory type', { clear: NOTHING, set: entryBits('PCD') }],
    ['not global any more', { clear: entryBits('G'), set: NOTHING }],
    ['another key', { clear: NOTHING, set: { low: 0, high: 1 << 27 } }],
  ])('needs a flush for %s', (_, change) => {
    const { space } = create();
    space.map(vf(3), vf(5), gfn(0), entryBits('P', 'RW', 'US', 'A', 'D', 'G'));
    expect(space.change(vf(0), vf(9), change).stale).toEqual([{ start: 3, end: 5 }]);
  });

  it('frees its tables as soon as they are empty', () => {
    const world = create();
    world.space.map(vf(0), vf(2 ** 19 + 5), gfn(0), DATA, 2);
    expect(world.space.tablePages).toBe(6);
    world.space.unmap(vf(2 ** 19), vf(2 ** 19 + 5));
    expect(world.space.tablePages).toBe(4);
    world.space.unmap(vf(0), vf(2 ** 35));
    expect(world.space.tablePages).toBe(1);
    expect(world.frames.freeFrames).toBe(63);
    world.space.destroy();
    expect(world.frames.freeFrames).toBe(64);
  });

  it('leaves tables alone that it did not make', () => {
    const world = create();
    world.space.map(vf(0), vf(5), gfn(0), DATA);
    const { memory, frames, space } = world;
    const again = createAddressSpace({ memory, tables: frames, levels: 4, root: space.root });
    again.unmap(vf(0), vf(2 ** 35));
    expect(leavesOf(world)).toEqual([]);
    expect([again.tablePages, space.tablePages, frames.freeFrames]).toEqual([0, 4, 60]);
  });

  it('says where it stopped when no frame is left for a table, and leaves no empty table', () => {
    const world = create(4);
    expect(world.space.map(vf(0), vf(1024), gfn(1), DATA)).toMatchObject({
      stoppedAt: 512,
      why: 'no-table-frame',
    });
    expect(leavesOf(world)).toHaveLength(512);
    expect(world.space.map(vf(2 ** 27), vf(2 ** 27 + 1), gfn(1), DATA)).toMatchObject({
      stoppedAt: 2 ** 27,
      why: 'no-table-frame',
    });
    expect(world.space.tablePages).toBe(4);
  });

  it('says where it stopped when a table is not in memory', () => {
    const world = create();
    world.space.map(vf(0), vf(5), gfn(0), DATA);
    world.memory.writablePage(world.space.root)?.set([0x77_7067], 2);
    expect(world.space.unmap(vf(3), vf(2 ** 28))).toEqual({
      stoppedAt: 2 ** 27,
      why: 'absent-table',
      stale: [{ start: 3, end: 5 }],
    });
  });

  it('refuses impossible ranges, targets and bits', () => {
    const { space } = create();
    const bad = (run: () => unknown) => expect(run).toThrow(X86Error);
    bad(() => space.unmap(vf(5), vf(4)));
    bad(() => space.unmap(vf(0), vf(2 ** 35 + 1)));
    bad(() => space.unmap(vf(0), vf(2 ** 52)));
    bad(() => space.unmap(vf(2 ** 36), vf(2 ** 36 + 1)));
    bad(() => space.unmap(vf(-1), vf(4)));
    bad(() => space.map(vf(0), vf(2), (2 ** 40 - 1) as Gfn, DATA));
    bad(() => space.map(vf(0), vf(2), gfn(0), entryBits('RW')));
    bad(() => space.map(vf(0), vf(2), gfn(0), { low: 0x1001, high: 0 }));
    bad(() => space.change(vf(0), vf(2), { clear: entryBits('P'), set: NOTHING }));
    bad(() => space.change(vf(0), vf(2), { clear: NOTHING, set: { low: 0, high: 1 } }));
    const none = { allocate: () => undefined, free: () => {} };
    bad(() => createAddressSpace({ memory: memoryOf([]), tables: none, levels: 4 }));
    expect(space.map(vf(2 ** 52 - 1), vf(2 ** 52), gfn(0), DATA)).toEqual(DONE);
  });
});

describe('edits, however they follow each other,', () => {
  const point = fc.oneof(
    fc.constantFrom(
      0,
      1,
      511,
      512,
      513,
      1024,
      2 ** 18 - 1,
      2 ** 18,
      2 ** 18 + 512,
      2 ** 19,
      2 ** 27 - 512,
      2 ** 27,
    ),
    fc.nat(2 ** 19),
  );
  const range = fc.tuple(point, point).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  const bits = fc
    .subarray(['RW', 'US', 'A', 'D', 'G', 'PAT', 'XD', 'PWT'] as const)
    .map((names) => entryBits(...names));
  const edit = fc.oneof(
    fc.record({
      kind: fc.constant('map' as const),
      range,
      target: fc.constantFrom(0, 0, 1, 512, 2 ** 18, 0x1234),
      bits,
      largest: fc.constantFrom<LeafLevel[]>(1, 2, 3, 3),
    }),
    fc.record({ kind: fc.constant('unmap' as const), range }),
    fc.record({ kind: fc.constant('change' as const), range, clear: bits, set: bits }),
    fc.record({ kind: fc.constant('split' as const), range, level: fc.constantFrom<LeafLevel[]>(1, 2) }),
  );

  type Edit = typeof edit extends fc.Arbitrary<infer Step> ? Step : never;

  function run(space: AddressSpace, model: PageModel, step: Edit): EditResult {
    const [start, end] = step.range;
    switch (step.kind) {
      case 'map': {
        // Gigabytes are mapped by large pages only: 4-KiB ones would need 512 tables.
        const long = end - start > 4096;
        const target = long ? step.target - (step.target % 512) + (start % 512) : step.target;
        const largest = long ? (Math.max(2, step.largest) as LeafLevel) : step.largest;
        const leaf = { low: step.bits.low | EntryLow.P, high: step.bits.high };
        const result = space.map(vf(start), vf(end), gfn(target), leaf, largest);
        model.map(start, result.stoppedAt ?? end, target, leaf);
        return result;
      }
      case 'unmap': {
        const result = space.unmap(vf(start), vf(end));
        model.change(start, result.stoppedAt ?? end, () => undefined);
        return result;
      }
      case 'change': {
        const result = space.change(vf(start), vf(end), step);
        model.change(start, result.stoppedAt ?? end, ({ low, high }) => ({
          low: ((low & ~step.clear.low) | step.set.low) >>> 0,
          high: ((high & ~step.clear.high) | step.set.high) >>> 0,
        }));
        return result;
      }
      case 'split':
        return space.split(vf(start), step.level);
    }
  }

  const weaker = (before: U64, after: U64) =>
    (before.low & ~after.low & (EntryLow.RW | EntryLow.US | EntryLow.D | EntryLow.A)) !== 0 ||
    (~before.high & after.high) !== 0 ||
    ((before.low ^ after.low) & (EntryLow.G | EntryLow.PAT | EntryLow.PWT)) !== 0;

  it('map exactly what a list of pieces says, name all that is stale, and lose no table page', () => {
    fc.assert(
      fc.property(
        fc.array(edit, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 4, max: 60 }),
        (steps, room) => {
          const world = create(room);
          const { space, frames } = world;
          const model = new PageModel();
          for (const step of steps) {
            const before = [...model.pieces];
            const { stale } = run(space, model, step);

            const edges = [...before, ...model.pieces].flatMap(({ start, end }) => [
              start,
              end - 1,
              start - 1,
              end,
            ]);
            for (const frame of edges.filter((edge) => edge >= 0)) {
              const [leaf] = leavesOf(world, frame, frame + 1);
              const piece = model.at(frame);
              expect(leaf?.guestFrame).toBe(piece && piece.target + frame - piece.start);
              const was = before.find(({ start, end }) => start <= frame && frame < end);
              const sameFrame = was && piece && was.target - was.start === piece.target - piece.start;
              if (was && !(piece && sameFrame && !weaker(was.bits, piece.bits))) {
                expect(stale.some(({ start, end }) => start <= frame && frame < end)).toBe(true);
              }
            }
            const total = leavesOf(world).reduce((sum, leaf) => sum + leaf.frames, 0);
            expect(total).toBe(model.pieces.reduce((sum, { start, end }) => sum + end - start, 0));
            const { root, levels } = space;
            const all = walkMappings({ memory: world.memory, root, levels }, vf(0), vf(2 ** 35), () => {});
            expect([all.tables, all.tables]).toEqual([space.tablePages, room - frames.freeFrames]);
          }
          space.unmap(vf(0), vf(2 ** 35));
          expect(space.tablePages).toBe(1);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('end on hostile tables, too, and free nothing that is not theirs', () => {
    fc.assert(
      fc.property(
        tables,
        fc.array(fc.tuple(tableFrame, fc.nat(3), fc.constantFrom('map', 'unmap', 'change', 'split')), {
          maxLength: 6,
        }),
        (entries, steps) => {
          const memory = memoryOf(entries);
          const free = [gfn(5), gfn(6)];
          const taken: Gfn[] = [];
          const allocator = {
            allocate: () => {
              const frame = free.pop();
              if (frame !== undefined) taken.push(frame);
              return frame;
            },
            free: (frame: Gfn) => {
              expect(taken).toContain(frame);
              taken.splice(taken.indexOf(frame), 1);
              free.push(frame);
            },
          };
          const space = createAddressSpace({ memory, tables: allocator, levels: 4, root: gfn(0) });
          for (const [any, frames, kind] of steps) {
            const start = canonicalFrame(any, 4);
            const end = Math.min(start + frames, start < 2 ** 51 ? 2 ** 35 : 2 ** 52) as VirtualFrame;
            if (kind === 'map') space.map(start, end, gfn(0x200), DATA);
            else if (kind === 'unmap') space.unmap(start, end);
            else if (kind === 'change') space.change(start, end, { clear: entryBits('RW'), set: NOTHING });
            else space.split(start, 1);
            expect(space.tablePages).toBe(taken.length);
          }
          space.destroy();
          expect(free).toHaveLength(2);
          expect(bytesOf(memory)).toHaveLength(7);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
