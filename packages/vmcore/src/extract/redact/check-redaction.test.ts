import type { Gfn } from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import { buildKernel, PLAN } from '../../testing/built-kernel.ts';
import { checkRedaction, type Tables } from './check-redaction.ts';

/** The tables of a kernel, and the last entry of the tables that lead to its first page of text. */
function tables(): Tables & { readonly words: Uint32Array; readonly at: number } {
  const { memory, levels, kernelRoots, text } = buildKernel(PLAN);
  let words = memory.writablePage(kernelRoots.swapper) ?? new Uint32Array();
  let at = 0;
  for (let below = levels - 1; below > 0; below--) {
    at = 2 * (Math.floor(text / 512 ** below) % 512);
    if (below === 1) break;
    words = memory.writablePage(Math.floor((words[at] ?? 0) / 4096) as Gfn) ?? words;
  }
  const root = { frame: kernelRoots.swapper, levels };
  return { memory, roots: [root], encryptionBit: undefined, words, at };
}

const check = (after: Tables): void => checkRedaction(tables(), after, [], new Map());

test('tables that map the same are taken for a redaction', () => {
  expect(() => check(tables())).not.toThrow();
});

test.each<[what: string, word: 0 | 1, bits: number]>([
  ['may be written', 0, EntryLow.RW],
  ['may not be executed', 1, EntryHigh.XD],
  ['is the user’s', 0, EntryLow.US],
  ['lies elsewhere', 0, 0x20_0000],
  ['is not mapped', 0, EntryLow.P],
  ['has another attribute', 0, EntryLow.A],
])('tables by which a large page of text %s, as it did not before, are refused', (_, word, bits) => {
  const after = tables();
  const at = after.at + word;
  after.words[at] = ((after.words[at] ?? 0) ^ bits) >>> 0;
  expect(() => check(after)).toThrow('a table that would change is used in more places than one');
});
