import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { plainValue } from './testing/itf.ts';
import { SpecifiedOwner, type SpecifiedState } from './testing/specified-owner.ts';

const TRACES = new URL('../../../fixtures/authority/', import.meta.url);
const NAMES = readdirSync(TRACES).filter((name) => name.endsWith('.itf.json'));

interface Trace {
  readonly madeFrom: string;
  readonly states: readonly SpecifiedState[];
}

function traceOf(name: string): Trace {
  const { '#meta': meta, states } = JSON.parse(readFileSync(new URL(name, TRACES), 'utf8'));
  return { madeFrom: meta.specificationSha256, states: plainValue(states) as SpecifiedState[] };
}

describe('the specification', () => {
  test.each(NAMES)('is what the owner does, step by step, in %s', (name) => {
    const { states } = traceOf(name);
    const owner = new SpecifiedOwner();
    for (const [index, { answer, event, sealed, frames, images }] of states.entries()) {
      const at = `step ${index}: ${event.what.tag}`;
      expect([at, owner.step(event)]).toEqual([at, answer]);
      const expected = new Map(
        [...images].map(([id, { file, pages, states: sites }]) => [id, { file, pages, states: sites }]),
      );
      expect([at, owner.seen({ frames })]).toEqual([at, { sealed, frames, images: expected }]);
      if (sealed) expect([at, owner.wrongRights()]).toEqual([at, []]);
    }
  });

  test('is the one that the traces are made from', () => {
    const text = readFileSync(new URL('../spec/authority.qnt', import.meta.url));
    const digest = createHash('sha256').update(text).digest('hex');
    expect(NAMES.filter((name) => traceOf(name).madeFrom !== digest)).toEqual([]);
  });

  test('has traces in which every kind of page and every end of a request is seen', () => {
    const all = NAMES.flatMap((name) => traceOf(name).states);
    const kinds = new Set(all.flatMap(({ frames }) => [...frames.values()].map(({ kind }) => kind)));
    expect([...kinds].sort()).toEqual(['data', 'free', 'jit', 'retired', 'staged', 'text', 'trampoline']);
    const answers = new Set(all.map(({ answer }) => answer));
    expect([...answers].sort()).toEqual([
      '',
      'copied',
      'frozen',
      'granted',
      'in-use',
      'malformed',
      'mismatch',
      'no-such-image',
      'no-such-site',
      'no-such-state',
      'not-free',
      'not-in-grammar',
      'not-signed',
      'read',
      'retired',
      'staged',
      'unresolved',
      'written',
      'wrong-time',
    ]);
  });
});
