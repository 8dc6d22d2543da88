import { type Gfn, gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSlowly } from '../testing/decode-slowly.ts';
import { scatteredMemory, zeroPages } from '../testing/scattered-memory.ts';
import { HypercallError } from './error.ts';
import {
  decodePageList,
  encodePageList,
  forEachRange,
  type PageListFault,
  type ProtectedRange,
  pageListFaultText,
} from './page-list.ts';

const DIRECT_MAP = 0xffff_8880_0000_0000n as VirtualAddress;

function range(start: number, end: number, permissions: number): ProtectedRange {
  return { start: gfn(start), end: end as Gfn, permissions };
}

/** A list of one page at frame 1 with two entries, and the words of that page. */
function honest() {
  const pages = zeroPages(1, 2, 3);
  const memory = scatteredMemory(pages);
  const ranges = [range(0x100, 0x200, 5), range(0x200, 0x201, 9)];
  const list = BigInt(encodePageList({ memory, frames: [gfn(1)], ranges, directMap: DIRECT_MAP }));
  const words = pages.get(1) ?? new Uint32Array();
  return { pages, memory, list, words };
}

function faultOf(
  memory: ReturnType<typeof scatteredMemory>,
  list: bigint,
  maxPages?: number,
): PageListFault | undefined {
  const result = decodePageList({ memory, list, maxPages });
  return result.ok ? undefined : result.fault;
}

describe('page lists', () => {
  it('chain the newest page first and give the ranges back oldest first', () => {
    const ranges = Array.from({ length: 400 }, (_, i) => range(i * 4, i * 4 + 2, 1 + (i % 15)));
    const pages = zeroPages(10, 11, 12);
    const memory = scatteredMemory(pages);
    const head = encodePageList({
      memory,
      frames: [gfn(10), gfn(11), gfn(12)],
      ranges,
      directMap: DIRECT_MAP,
    });
    expect(head).toBe(12 * PAGE_SIZE);
    const result = decodePageList({ memory, list: BigInt(head) });
    if (!result.ok) throw new Error(pageListFaultText(result.fault));
    expect(result.pages.map(({ address, starts }) => [address / PAGE_SIZE, starts.length])).toEqual([
      [12, 400 - 2 * 169],
      [11, 169],
      [10, 169],
    ]);
    const decoded: ProtectedRange[] = [];
    forEachRange(result.pages, (start, end, permissions) => decoded.push({ start, end, permissions }));
    expect(decoded).toEqual(ranges);
    const newest = pages.get(12);
    expect([newest?.[0], newest?.[1]]).toEqual([11 * PAGE_SIZE, 0xffff8880]);
  });

  it('are empty at address 0', () => {
    const memory = scatteredMemory(zeroPages());
    expect(encodePageList({ memory, frames: [], ranges: [], directMap: DIRECT_MAP })).toBe(0);
    expect(decodePageList({ memory, list: 0n })).toEqual({ ok: true, pages: [] });
  });

  it('may have pages without entries, and may reach up to the last frame', () => {
    const { memory, words, list } = honest();
    words[4] = 0;
    const result = decodePageList({ memory, list });
    expect(result.ok && result.pages.map(({ starts }) => starts.length)).toEqual([0]);
    expect(honestWith((page) => page.set([0xfffff000, 0xfffff, 0, 0x100000], 6))).toBeUndefined();
  });

  it('cannot be written where there is no memory, or with too few frames', () => {
    const memory = scatteredMemory(zeroPages(1));
    const ranges = [range(0, 1, 1)];
    expect(() => encodePageList({ memory, frames: [gfn(2)], ranges, directMap: DIRECT_MAP })).toThrow(
      'no memory at guest frame 0x2',
    );
    expect(() => encodePageList({ memory, frames: [], ranges, directMap: DIRECT_MAP })).toThrow(
      HypercallError,
    );
  });
});

/** The fault of an honest list after `change`. */
function honestWith(change: (page: Uint32Array) => void): PageListFault | undefined {
  const { memory, words, list } = honest();
  change(words);
  return faultOf(memory, list);
}

describe('a hostile page list', () => {
  it('is refused when its address is not a page of memory', () => {
    const { memory } = honest();
    const beginning = { page: -1, address: undefined, offset: 0 };
    expect(faultOf(memory, 0x1008n)).toMatchObject({
      code: 'bad-page-address',
      found: 0x1008n,
      ...beginning,
    });
    expect(faultOf(memory, 1n << 52n)).toMatchObject({ code: 'bad-page-address', ...beginning });
    expect(faultOf(memory, 0xffff_8880_0000_1000n)).toMatchObject({ code: 'bad-page-address', ...beginning });
    expect(faultOf(memory, 0x9000n)).toMatchObject({ code: 'page-absent', found: 0x9000n, ...beginning });
  });

  it('is refused when next_pa is not a page of memory, naming the page that says so', () => {
    const place = { page: 0, address: 0x1000, offset: 8 };
    expect(honestWith((page) => page.set([0x2001], 2))).toMatchObject({ code: 'bad-page-address', ...place });
    expect(honestWith((page) => page.set([0x1000, 0x80000000], 2))).toMatchObject({
      code: 'bad-page-address',
      found: 0x8000_0000_0000_1000n,
      ...place,
    });
    expect(honestWith((page) => page.set([0x9000], 2))).toMatchObject({ code: 'page-absent', ...place });
  });

  it('is refused when it leads back to a page that it had, or is too long', () => {
    const { memory, pages, words, list } = honest();
    words[2] = 0x2000;
    pages.get(2)?.set([0x3000], 2);
    pages.get(3)?.set([0x1000], 2);
    expect(faultOf(memory, list)).toMatchObject({ code: 'cycle', page: 2, address: 0x3000, found: 0x1000n });
    expect(faultOf(memory, list, 2)).toMatchObject({ code: 'too-many-pages', page: 1, address: 0x2000 });
    pages.get(3)?.set([0x3000], 2);
    expect(faultOf(memory, list)).toMatchObject({ code: 'cycle', page: 2 });
    pages.get(3)?.set([0], 2);
    expect(faultOf(memory, list, 3)).toBeUndefined();
  });

  it('is refused when npages is more than a page holds', () => {
    const fault = { code: 'too-many-entries', page: 0, address: 0x1000, offset: 16 };
    expect(honestWith((page) => page.set([170], 4))).toMatchObject({ ...fault, found: 170n });
    expect(honestWith((page) => page.set([2, 1], 4))).toMatchObject({ ...fault, found: 0x1_0000_0002n });
    expect(honestWith((page) => page.set([0xffffffff, 0xffffffff], 4))).toMatchObject(fault);
  });

  it('is refused when a range is unaligned, empty, backwards or too high, naming the field', () => {
    const pa = { code: 'bad-range', page: 0, offset: 48 };
    const epa = { code: 'bad-range', page: 0, offset: 56 };
    expect(honestWith((page) => page.set([0x200800], 12))).toMatchObject({ ...pa, found: 0x200800n });
    expect(honestWith((page) => page.set([0, 0x100000], 12))).toMatchObject(pa);
    expect(honestWith((page) => page.set([0x201001], 14))).toMatchObject({ ...epa, found: 0x201001n });
    expect(honestWith((page) => page.set([0x200000], 14))).toMatchObject(epa);
    expect(honestWith((page) => page.set([0x1000], 14))).toMatchObject(epa);
    expect(honestWith((page) => page.set([0x1000, 0x100000], 14))).toMatchObject(epa);
    expect(honestWith((page) => page.set([0xfffff000, 0xffffffff], 14))).toMatchObject(epa);
  });

  it('is refused when permissions are empty or unknown', () => {
    const fault = { code: 'bad-permissions', page: 0, offset: 64 };
    for (const words of [[0], [16], [1, 1], [0xffffffff, 0xffffffff]]) {
      expect(honestWith((page) => page.set(words, 16))).toMatchObject(fault);
    }
  });

  it('is described in one line', () => {
    const fault = honestWith((page) => page.set([0x200800], 12));
    expect(fault && pageListFaultText(fault)).toBe(
      'bad-range: page 0 of the list (guest-physical 0x1000), offset 48: found 0x200800, expected a page-aligned address below 2^52',
    );
    const start = faultOf(honest().memory, 5n);
    expect(start && pageListFaultText(start)).toBe(
      'bad-page-address: the list address: found 0x5, expected a page-aligned guest-physical address below 2^52',
    );
  });

  it('is decoded as a decoder on 64-bit integers decodes it, whatever its bytes', () => {
    const half = fc.oneof(
      fc.nat(20),
      fc.nat(20).map((n) => n * 0x1000),
      fc.nat(0xffffffff),
    );
    const high = fc.oneof(
      { weight: 8, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.nat(0x120000) },
    );
    const u64 = fc.tuple(half, high);
    const header = fc.tuple(
      u64,
      fc.tuple(
        fc.oneof(
          fc.nat(5).map((n) => n * 0x1000),
          half,
        ),
        high,
      ),
      fc.tuple(fc.oneof({ weight: 9, arbitrary: fc.nat(4) }, { weight: 1, arbitrary: fc.nat(300) }), high),
    );
    const honestEntry = fc
      .tuple(fc.nat(50), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 15 }))
      .map(([start, frames, permissions]) => [
        [start * 0x1000, 0],
        [(start + frames) * 0x1000, 0],
        [permissions, 0],
      ]);
    const entry = fc.oneof(
      { weight: 8, arbitrary: honestEntry },
      { weight: 1, arbitrary: fc.tuple(u64, u64, u64) },
    );
    const page = fc.tuple(header, fc.array(entry, { minLength: 4, maxLength: 6 }));
    fc.assert(
      fc.property(
        fc.array(page, { minLength: 4, maxLength: 4 }),
        fc.integer({ min: 1, max: 5 }),
        (all, maxPages) => {
          const pages = zeroPages(1, 2, 3, 4);
          for (const [index, [head, entries]] of all.entries()) {
            pages.get(index + 1)?.set([...head, ...entries.flat()].flat());
          }
          const result = decodePageList({ memory: scatteredMemory(pages), list: 0x1000n, maxPages });
          const expected = decodeSlowly(pages, 0x1000n, maxPages);
          const decoded =
            result.ok &&
            result.pages.map(({ starts, ends, permissions }) =>
              Array.from(starts, (start, i) => ({
                pa: BigInt(start) << 12n,
                epa: BigInt(ends[i] ?? 0) << 12n,
                permissions: BigInt(permissions[i] ?? 0),
              })),
            );
          expect(result.ok ? decoded : undefined).toEqual(expected);
          if (!result.ok) expect(pageListFaultText(result.fault)).toContain('expected');
        },
      ),
      { numRuns: 2000 },
    );
  });
});
