import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildBtf, type PlainType } from '../testing/build-btf.ts';
import { parseBtf } from './btf.ts';

const TYPES: readonly PlainType[] = [
  { kind: 'int', name: 'char', size: 1 },
  { kind: 'array', element: 1, count: 56 },
  { kind: 'struct', name: 'list_head', size: 16, members: [{ name: 'next', offset: 0, type: 0 }] },
  { kind: 'const', name: '', of: 3 },
  { kind: 'typedef', name: 'list_t', of: 4 },
  {
    kind: 'union',
    name: '',
    size: 16,
    members: [
      { name: 'link', offset: 0, type: 5 },
      { name: 'number', offset: 8, type: 1 },
    ],
  },
  {
    kind: 'struct',
    name: 'module',
    size: 96,
    members: [
      { name: 'name', offset: 24, type: 2 },
      { name: '', offset: 80, type: 6 },
      { name: 'flag', offset: 12, type: 1, bits: 3 },
    ],
  },
  { kind: 'array', element: 7, count: 4 },
  {
    kind: 'enum',
    name: 'mod_mem_type',
    values: [
      ['MOD_TEXT', 0],
      ['MOD_DATA', 1],
    ],
  },
];

describe('the types of a kernel', () => {
  const bytes = buildBtf(TYPES);
  const btf = parseBtf(bytes);
  if (btf === undefined) throw new Error('not parsed');
  const module = btf.struct('module') ?? 0;

  test('have structures by name, and members where they are, through unnamed ones', () => {
    expect(module).toBe(7);
    expect(btf.size(module)).toBe(96);
    expect(btf.member(module, 'name')).toEqual({ offset: 24, type: 2 });
    expect(btf.member(module, 'number')).toEqual({ offset: 88, type: 1 });
    expect(btf.member(module, 'nosuch')).toBeUndefined();
    expect(btf.struct('list_t')).toBeUndefined();
  });

  test('are seen through names and qualifiers', () => {
    const link = btf.member(module, 'link');
    expect(link?.offset).toBe(80);
    expect(btf.size(link?.type ?? 0)).toBe(16);
    expect(btf.member(link?.type ?? 0, 'next')).toEqual({ offset: 0, type: 0 });
  });

  test('have arrays and enumerations; a bit field has no place in bytes', () => {
    expect(btf.array(2)).toEqual({ element: 1, count: 56 });
    expect(btf.array(8)).toEqual({ element: 7, count: 4 });
    expect([...btf.enumeration('mod_mem_type')]).toEqual([
      ['MOD_TEXT', 0],
      ['MOD_DATA', 1],
    ]);
    expect(btf.member(module, 'flag')).toBeUndefined();
  });

  test('that are damaged are refused or answer, and end', () => {
    const edit = fc.tuple(fc.nat(bytes.length - 1), fc.oneof(fc.constantFrom(0, 1, 0x80, 0xff), fc.nat(255)));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        const hostile = bytes.slice();
        for (const [at, value] of edits) hostile[at] = value;
        const parsed = parseBtf(hostile);
        const struct = parsed?.struct('module');
        if (parsed === undefined || struct === undefined) return;
        for (const name of ['name', 'number', 'next', 'nosuch']) parsed.member(struct, name);
        parsed.enumeration('mod_mem_type');
      }),
      { numRuns: 500 },
    );
    expect(parseBtf(bytes.subarray(0, 20))).toBeUndefined();
    expect(parseBtf(bytes.subarray(0, bytes.length - 1))).toBeUndefined();
  });
});
