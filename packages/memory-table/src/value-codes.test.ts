import type { Gfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createMemoryTable } from './index.ts';
import { ValueCodes } from './value-codes.ts';

describe('codes of values', () => {
  test('give every value back, and differ for values that differ', () => {
    const codes = new ValueCodes<unknown>();
    const object = {};
    const values = [
      0,
      1,
      2 ** 31 - 2,
      2 ** 31 - 1,
      2 ** 32,
      -1,
      0.5,
      Number.NaN,
      '1',
      true,
      null,
      object,
      {},
    ];
    const given = values.map((value) => codes.encode(value));
    expect(given.map((code) => codes.decode(code))).toEqual(values);
    expect(codes.decode(codes.encode(object))).toBe(object);
    expect(new Set(given).size).toBe(values.length);
    expect(given.every((code) => code > 0 && code < 2 ** 32)).toBe(true);
    expect(codes.encode(undefined)).toBe(0);
    expect(codes.decode(0)).toBeUndefined();
  });

  test('are used again when their values are forgotten', () => {
    const codes = new ValueCodes<string>();
    const [a, b] = [codes.encode('a'), codes.encode('b')];
    codes.retain(new Set([b]));
    expect(codes.decode(a)).toBeUndefined();
    expect(codes.decode(b)).toBe('b');
    expect(codes.encode('c')).toBe(a);
  });

  test('ask for cleaning when they pile up, later when more are in use', () => {
    const codes = new ValueCodes<string>();
    const encode = (count: number) => Array.from({ length: count }, (_, index) => codes.encode(`${index}`));
    const given = encode(256);
    expect(codes.needsCleaning).toBe(false);
    codes.encode('one more');
    expect(codes.needsCleaning).toBe(true);
    codes.retain(new Set(given));
    encode(512);
    expect(codes.needsCleaning).toBe(false);
  });

  test('of values that no page has any more are given up by the table, those in use are not', () => {
    const table = createMemoryTable<{ readonly number: number }>();
    for (let number = 0; number < 2000; number++) {
      table.set((number % 10) as Gfn, ((number % 10) + 1) as Gfn, { number });
    }
    const values = [...table.extents()].map(({ value }) => value.number);
    expect(values).toEqual([1990, 1991, 1992, 1993, 1994, 1995, 1996, 1997, 1998, 1999]);
  });
});
