import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAttributeStore } from './attribute-store.ts';

const SPACE = 64;

const operation = fc.record({
  start: fc.integer({ min: 0, max: SPACE }),
  length: fc.integer({ min: 0, max: SPACE }),
  bits: fc.integer({ min: 0, max: 0xff }),
  mask: fc.constantFrom(0, 0x08, 0xf0, 0xff),
});

test('extents answer as one value for each page does', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 20 }), operation, (operations, question) => {
      const store = createAttributeStore();
      const pages = new Uint8Array(2 * SPACE);
      for (const { start, length, bits, mask } of operations) {
        store.update(start, start + length, bits, mask);
        for (let page = start; page < start + length; page++) {
          pages[page] = ((pages[page] ?? 0) & ~mask) | (bits & mask);
        }
      }
      for (const [page, value] of pages.entries()) expect(store.get(page as Gfn)).toBe(value);

      const { start, length, bits, mask } = question;
      const end = start + length;
      const values = [...pages.subarray(start, end)];
      const all = bits === 0 ? values.every((v) => v === 0) : values.every((v) => (v & bits) === bits);
      expect(store.all(start, end, bits)).toBe(all);
      expect(store.any(start, end, bits)).toBe(values.some((value) => (value & bits) === bits));
      expect(store.equal(start, end, bits, mask)).toBe(values.every((v) => (v & mask) === (bits & mask)));
      const runs: number[] = [];
      store.forEach(start, end, (from, to, value) => {
        for (let page: number = from; page < to; page++) runs.push(value);
      });
      expect(runs).toEqual(values);
    }),
    { numRuns: 500 },
  );
});

test('equal neighbours are one extent, however they came to be equal', () => {
  const store = createAttributeStore();
  store.update(0, 2 ** 40, 0x30, 0xf0);
  store.update(100, 200, 0x50, 0xf0);
  expect(store.extents).toBe(3);
  store.update(150, 200, 0x30, 0xf0);
  store.update(100, 150, 0x30, 0xf0);
  expect(store.extents).toBe(1);
});
