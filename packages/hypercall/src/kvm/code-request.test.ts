import type { Gfn, PageView } from '@heki/physical-memory';
import { PAGE_SIZE } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  codeExtents,
  decodeCodeLoad,
  decodeCodePokes,
  decodeCodeSeal,
  encodeCodeLoad,
  encodeCodePokes,
  encodeCodeSeal,
  framesOfExtents,
  HypercallError,
  pagesOfCodeRequest,
} from './index.ts';

/** Memory with these pages, from frame 1 on. */
function memoryOf(pages: readonly Uint8Array[]): { page(frame: Gfn): PageView | undefined } {
  return {
    page(frame) {
      const bytes = pages[frame - 1];
      return bytes && new Uint32Array(bytes.buffer, bytes.byteOffset, PAGE_SIZE / 4);
    },
  };
}

const FRAMES = Array.from({ length: 40 }, (_, index) => (index + 1) as Gfn);
const LIST = 0x1000n;
const extents = fc
  .array(fc.record({ start: fc.nat(2 ** 40 - 200), frames: fc.integer({ min: 1, max: 100 }) }), {
    maxLength: 6,
  })
  .map((all) => all.map(({ start, frames }) => ({ start: start as Gfn, frames })));
const parts = fc.array(fc.record({ address: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), extents }), {
  maxLength: 200,
});
const states = fc
  .uniqueArray(fc.nat(2 ** 32 - 1), { maxLength: 60 })
  .map((sites) => sites.sort((a, b) => a - b).map((site) => ({ site, state: (site % 7) + 1 })));

/** Pages with records of `words`, as a guest can write them. */
function listOf(
  records: readonly (readonly number[])[],
  { next = 0, count = records.length } = {},
): Uint8Array {
  const words = new Uint32Array(PAGE_SIZE / 4);
  words[0] = next;
  words[2] = count;
  for (const [index, record] of records.entries()) words.set(record, 4 + 4 * index);
  return new Uint8Array(words.buffer);
}

/** A part and an extent of it, whose other words are `words`. */
const withExtent = (...words: readonly number[]): Uint8Array =>
  listOf([
    [2, 0, 0, 0],
    [3, ...words],
  ]);

describe('a request to the owner of code', () => {
  test('says after its way through memory what it said before', () => {
    fc.assert(
      fc.property(parts, states, extents, fc.nat(2 ** 20), (place, sites, file, bytes) => {
        const seal = { parts: place, states: sites };
        expect(decodeCodeSeal(memoryOf(encodeCodeSeal(seal, FRAMES)), LIST)).toEqual({
          ok: true,
          request: seal,
        });
        const load = { file: { bytes, extents: file }, parts: place, states: sites };
        const pages = encodeCodeLoad(load, FRAMES);
        expect(pages).toHaveLength(pagesOfCodeRequest(load));
        expect(decodeCodeLoad(memoryOf(pages), LIST)).toEqual({ ok: true, request: load });
      }),
      { numRuns: 30 },
    );
  });

  test('of pokes fills a page with 340, and no more go', () => {
    const pokes = Array.from({ length: 340 }, (_, site) => ({ image: 1, site, state: 2 ** 32 - 1 }));
    expect(decodeCodePokes(memoryOf([encodeCodePokes(pokes)]), LIST)).toEqual({ ok: true, request: pokes });
    expect(() => encodeCodePokes([...pokes, { image: 1, site: 0, state: 0 }])).toThrow(HypercallError);
  });

  test.each([
    ['an address of 0', [listOf([])], 0n, 'malformed'],
    ['an address that is on no page', [listOf([])], 0x1008n, 'malformed'],
    ['no memory', [], LIST, 'absent'],
    ['an address beyond all memory', [listOf([])], 0xffff_ffff_ffff_f000n, 'absent'],
    ['more records than a page holds', [listOf([], { count: 256 })], LIST, 'malformed'],
    ['a list without end', [listOf([], { next: 0x1000 })], LIST, 'too-much'],
    ['a record of no kind', [listOf([[9, 0, 0, 0]])], LIST, 'malformed'],
    ['an extent of nobody', [listOf([[3, 1, 0, 0]])], LIST, 'malformed'],
    ['an extent of no frames', [withExtent(0, 0, 0)], LIST, 'malformed'],
    ['an extent on no page', [withExtent(1, 8, 0)], LIST, 'malformed'],
    ['an extent beyond all memory', [withExtent(2, 0xffff_f000, 0xf_ffff)], LIST, 'malformed'],
    ['more frames than the bound', [withExtent(2 ** 17 + 1, 0, 0)], LIST, 'too-much'],
    [
      'sites out of order',
      [
        listOf([
          [4, 5, 1, 0],
          [4, 5, 1, 0],
        ]),
      ],
      LIST,
      'malformed',
    ],
    ['a site in state 0', [listOf([[4, 5, 0, 0]])], LIST, 'malformed'],
    [
      'a part behind sites',
      [
        listOf([
          [4, 5, 1, 0],
          [2, 0, 0, 0],
        ]),
      ],
      LIST,
      'malformed',
    ],
    ['a file', [listOf([[1, 0, 5, 0]])], LIST, 'malformed'],
  ])('of a seal is refused with %s', (_, pages, list, why) => {
    expect(decodeCodeSeal(memoryOf(pages), list)).toMatchObject({ ok: false, why });
  });

  test('of a load is refused without a file, and with a file above its bound', () => {
    for (const [record, why] of [
      [[2, 0, 0, 0], 'malformed'],
      [[1, 0, 0x2000_0001, 0], 'too-much'],
    ] as const) {
      expect(decodeCodeLoad(memoryOf([listOf([record])]), LIST)).toMatchObject({ ok: false, why });
    }
  });

  test('of whatever bytes is read or refused, each page once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 64, maxLength: 64 }), { minLength: 1, maxLength: 3 }),
        (heads) => {
          const pages = heads.map((head) => {
            const page = new Uint8Array(PAGE_SIZE);
            page.set(head);
            return page;
          });
          let reads = 0;
          const { page } = memoryOf(pages);
          const memory = {
            page(frame: Gfn) {
              reads++;
              return page(frame);
            },
          };
          for (const decode of [decodeCodeSeal, decodeCodeLoad, decodeCodePokes]) {
            reads = 0;
            expect(typeof decode(memory, LIST).ok).toBe('boolean');
            expect(reads).toBeLessThanOrEqual(256);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

test('frames in a row are one extent', () => {
  const frames = [5, 6, 7, 9, 8, 20].map((frame) => frame as Gfn);
  expect(codeExtents(frames).map(({ start, frames: count }) => [start, count])).toEqual([
    [5, 3],
    [9, 1],
    [8, 1],
    [20, 1],
  ]);
  expect(framesOfExtents(codeExtents(frames))).toEqual(frames);
});
