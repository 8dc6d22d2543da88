import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { search } from '../search.ts';
import { ReadableMachine } from '../testing/readable-machine.ts';
import { abstractMachine } from './abstract-machine.ts';
import { ABSTRACT_POLICIES } from './policy.ts';

/** The shortest attack on each policy, in actions. Nothing falls under the last two. */
const FALLS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'abstract-ask': { P6: 2, P7: 3 },
  'abstract-w-xor-x': { P6: 2, P7: 3 },
  'abstract-check-then-grant': { P6: 5, P7: 5 },
  'abstract-no-flush': { P6: 6, P7: 6 },
  'abstract-freeze-flush-check': { P7: 7 },
  'abstract-freeze-flush-check-hlat': {},
  'abstract-freeze-flush-check-hlat-1cpu': {},
};

describe.each(ABSTRACT_POLICIES)('$name', (policy) => {
  const machine = abstractMachine(policy);

  test('does in every life what a machine of objects does', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 5, maxLength: 60 }), (choices) => {
        const readable = new ReadableMachine(policy);
        let state = machine.initial();
        for (const choice of choices) {
          const possible: (readonly [text: string, next: number])[] = [];
          machine.successors(state, (action, next) => possible.push([machine.describe(action), next]));
          const [text, next] = possible[choice % possible.length] ?? ['', -1];
          expect(readable.act(text)).toBe(true);
          state = next;
          expect([...readable.fallen].sort()).toEqual([...machine.broken(state)].sort());
          if (readable.fallen.size > 0) return;
        }
      }),
      { numRuns: 60 },
    );
  });
});

// The larger spaces are searched to their ends when docs/explore.md is generated.
const SMALL = ABSTRACT_POLICIES.filter(
  ({ name, processors }) => processors === 1 || Object.keys(FALLS[name] ?? {}).length === 2,
);

describe.each(SMALL)('$name', (policy) => {
  test('falls as soon as can be, and not otherwise', () => {
    const falls = FALLS[policy.name] ?? {};
    const machine = abstractMachine(policy);
    const result = search(machine, { properties: ['P6', 'P7'] });
    const found = Object.fromEntries(
      result.counterexamples.map(({ property, actions }) => [property, actions.length]),
    );
    expect(found).toEqual(falls);
    if (Object.keys(falls).length === 0) expect(result.end).toBe('closed');
    for (const { property, actions } of result.counterexamples) {
      const readable = new ReadableMachine(policy);
      for (const action of actions) expect(readable.act(machine.describe(action))).toBe(true);
      expect([...readable.fallen]).toContain(property);
    }
  });
});
