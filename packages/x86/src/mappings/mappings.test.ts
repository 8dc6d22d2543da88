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
import { at, drawTables, type PicturePath } from '../testing/table-picture.ts';
import { translate } from '../translate/translate.ts';
import {
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  type MappingLeaf,
  type MappingWalkOptions,
} from './mapping-walk.ts';
import { mappings } from './mappings.ts';
import { walkMappings } from './walk-mappings.ts';

const { WRITE, USER, EXECUTE_DISABLE } = PageRights;
const KERNEL = 0xffff_8000_0000_0000n;
const frameOfVa = (va: bigint) => Number(va >> 12n) as VirtualFrame;

/** Both versions, which must agree; the leaves as plain objects. */
function walk(options: MappingWalkOptions, start: VirtualFrame, end: VirtualFrame) {
  const leaves: MappingLeaf[] = [];
  const fast = walkMappings(options, start, end, (leaf) => leaves.push({ ...leaf }));
  const readable: MappingLeaf[] = [];
  const walker = mappings(options, start, end);
  let step = walker.next();
  for (; step.done !== true; step = walker.next()) readable.push(step.value);
  expect(leaves).toEqual(readable);
  expect(fast).toEqual(step.value);
  return { leaves, result: fast };
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
    expect(result).toEqual({ stoppedAt: undefined, leaves: 3, tables: 4, absentTables: 0 });
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
      },
      {
        virtualFrame: first + 0x4_0200,
        guestFrame: 0x600,
        frames: 512,
        level: 2,
        low: 0x60_10e7,
        high: 0,
        effective: WRITE,
      },
      {
        virtualFrame: first + 0x4_0403,
        guestFrame: 9,
        frames: 1,
        level: 1,
        low: 0x9007,
        high: 0,
        effective: EXECUTE_DISABLE,
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

  it('stops at its budget when tables lead to each other', () => {
    // Every entry of the root is the root: 512^4 leaves.
    const root = new Uint32Array(1024).map((_, word) => (word % 2 === 0 ? 0x1067 : 0));
    const memory: PhysicalMemory<Gfn> = {
      page: (frame) => (frame === 1 ? root : undefined),
      writablePage: () => undefined,
    };
    const options = { memory, root: gfn(1), levels: 4 as const, budget: 1000 };
    const result = walkMappings(options, virtualFrame(0), (2 ** 52) as VirtualFrame, () => {});
    // Four upper tables, and page tables of 512 leaves each.
    expect(result).toMatchObject({ tables: 1000, leaves: 996 * 512 });
    const short = { ...options, budget: 6 };
    expect(walk(short, virtualFrame(1), (2 ** 52) as VirtualFrame)).toMatchObject({
      result: { stoppedAt: 3 * 512, tables: 6 },
    });
  });

  it('refuses bounds that are no virtual frame numbers', () => {
    const options = draw([]);
    for (const bad of [-1, 0.5, 2 ** 52 + 1, Number.NaN]) {
      expect(() => walkMappings(options, bad as VirtualFrame, virtualFrame(5), () => {})).toThrow(X86Error);
      expect(() => walkMappings(options, virtualFrame(5), bad as VirtualFrame, () => {})).toThrow(X86Error);
    }
  });
});

describe('presence as Linux sees it', () => {
  const leavesOf = (
    entries: Record<number, string>,
    bits: Record<number, bigint>,
    presence = LINUX_PRESENCE,
  ) => {
    const leaf = entries[2]?.includes('PS') ? 2 : 1;
    const options = draw([{ va: 0n, leaf, page: 0x60_0000, entries, bits }]);
    return walk({ ...options, presence }, virtualFrame(0), virtualFrame(512)).leaves;
  };

  it('takes a PTE with PROTNONE for present, and undoes the inversion of its frame', () => {
    expect(leavesOf({ 1: 'G' }, {})).toMatchObject([{ guestFrame: 2 ** 40 - 1 - 0x600, frames: 1 }]);
    expect(leavesOf({ 1: 'G' }, {}, HARDWARE_PRESENCE)).toEqual([]);
    expect(leavesOf({ 1: 'P' }, {})).toMatchObject([{ guestFrame: 0x600 }]);
    expect(leavesOf({ 1: 'RW US A D' }, {})).toEqual([]);
  });

  it('takes a PDE with PSE for present and follows it like a table when P is clear', () => {
    const options = draw([{ va: 0n, leaf: 2, page: 0x3000, entries: { 2: 'RW' } }]);
    // Frame 3 is the directory itself, whose entry 0 has no P: as a PTE it is not present either.
    expect(walk({ ...options, presence: LINUX_PRESENCE }, virtualFrame(0), virtualFrame(512))).toMatchObject({
      leaves: [],
      result: { tables: 4 },
    });
    expect(walk(options, virtualFrame(0), virtualFrame(512))).toMatchObject({
      leaves: [],
      result: { tables: 3 },
    });
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
        (entries, [start, frames], levels, presence, budget) => {
          const options = { memory: memoryOf(entries), root: gfn(0), levels, presence, budget };
          const first = canonicalFrame(start, levels);
          met += walk(options, first, Math.min(2 ** 52, first + frames) as VirtualFrame).leaves.length;
        },
      ),
      { numRuns: 1000 },
    );
    expect(met).toBeGreaterThan(1000);
  });

  it('find a mapping where a translation finds one, with the same frame and rights', () => {
    const profile = { ...INTEL_VT_RP, maxPhysicalAddressBits: 52 };
    let mapped = 0;
    fc.assert(
      fc.property(tables, tableFrame, fc.constantFrom(4 as const, 5 as const), (entries, frame, levels) => {
        const memory = memoryOf(entries);
        const virtual = canonicalFrame(frame, levels);
        const registers = pagingRegisters({ cr4: CR4.PAE | (levels === 5 ? CR4.LA57 : 0n) });
        const read = { kind: 'read', mode: 'supervisor' } as const;
        const { outcome } = translate(registers, memory, at(BigInt(virtual) << 12n), read, profile);
        if (outcome.kind === 'page-fault' && outcome.denials[0].rule === 'reserved-bit') return;
        const options = { memory, root: gfn(0), levels };
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
      }),
      { numRuns: 1500 },
    );
    expect(mapped).toBeGreaterThan(100);
  });
});
