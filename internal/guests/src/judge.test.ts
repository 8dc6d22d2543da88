import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { judge } from './judge.ts';

const FIXTURES = join(import.meta.dirname, '../../../fixtures');
const names = readdirSync(FIXTURES)
  .filter((name) => name.endsWith('.info-tlb.txt.gz'))
  .map((name) => name.replace('.info-tlb.txt.gz', ''));

/** Counts of another walker, which takes every mapped frame for memory: five frames are devices. */
describe('the count', () => {
  test.each(names)('of %s is that of the walker that judged it first', (name) => {
    const { iomem, expected } = JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), 'utf8'));
    const text = gunzipSync(readFileSync(join(FIXTURES, `${name}.info-tlb.txt.gz`))).toString();
    const { 'rw-': data, ...others } = expected.union_pages_by_perm;
    expect(judge(text, iomem)).toEqual({ 'r--': 0, 'r-x': 0, rwx: 0, ...others, 'rw-': data - 5 });
  });

  test('takes a leaf of 1 GiB for one by its addresses and by what follows', () => {
    const iomem = ['00000000-7fffffff : System RAM'];
    const gib = 'ffff888040000000: 0000000040000000 XGPDA---W';
    const next = 'ffff888080000000: 0000000080000000 XGPDA---W';
    const inside = 'ffff888040200000: 0000000040200000 XGPDA---W';
    expect(judge(`${gib}\n${next}\n`, iomem)['rw-']).toBe(0x4_0000);
    expect(judge(`${gib}\n${inside}\n`, iomem)['rw-']).toBe(0x400);
  });

  test('joins what all mappings of a page allow', () => {
    const iomem = ['00000000-0fffffff : Device', '  00100000-00101fff : System RAM (kmem)'];
    const text = [
      'ffff888000100000: 0000000000100000 XG-DA---W',
      'ffffffff81000000: 0000000000100000 -G-DA----',
      'ffff888000101000: 0000000000101000 XG-DA----',
      'ffff888000102000: 0000000000102000 XG-DA---W',
      '0000000000400000: 0000000000101000 ---DA--UW',
      '',
    ].join('\n');
    expect(judge(text, iomem)).toEqual({ 'r--': 1, 'r-x': 0, 'rw-': 0, rwx: 1 });
  });
});
