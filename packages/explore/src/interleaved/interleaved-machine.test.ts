import { createKvm, type KvmRaces } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import { search } from '../search.ts';
import { type InterleavedOptions, interleavedMachine } from './interleaved-machine.ts';

const kvm = (races: Partial<KvmRaces>, options: InterleavedOptions) =>
  interleavedMachine(
    { name: 'kvm', create: () => createKvm({ races }), driver: initHekiOnKvm, profile: 'hardened' },
    options,
  );

/** What falls first, and how. */
function fallen(races: Partial<KvmRaces>, depth: number, options: InterleavedOptions) {
  const machine = kvm(races, options);
  const result = search(machine, { depth, stop: ({ fallen: count }) => count > 0 });
  const [found] = result.counterexamples;
  return {
    ...result,
    property: found?.property,
    story: found?.actions.map((action) => machine.describe(action)) ?? [],
  };
}

const FEW = ['stores to the text', 'r-- on the text'];

describe('KVM, with all that can come between the parts of its requests and faults', () => {
  test('grants nothing after a call returned that the attributes do not: all of a small machine', () => {
    const { end, states, counterexamples } = fallen({}, 40, { only: FEW });
    expect([end, counterexamples]).toEqual(['closed', []]);
    expect(states).toBeGreaterThan(100);
  });

  test('is found out where a fault is mapped though what it looked at has changed', () => {
    const { story, property } = fallen({ staleFaults: true }, 4, { only: [...FEW, 'rw- on the text'] });
    expect(property).toBe('LEAF');
    expect(story.at(-1)).toMatch(/the request returns|goes on with its fault/);
    expect(story.join()).toContain('processor 1 stores to the text');
  });

  test('is found out where only one processor is told to forget what it cached', () => {
    const { story, property } = fallen({ localFlush: true }, 3, { only: FEW });
    expect([property, story.length]).toEqual(['TLB', 2]);
  });

  // The reduction is checked: without it every story is a state of its own.
  test.each([{}, { localFlush: true }])('shows the same when no two stories count as one: %j', (races) => {
    const merged = fallen(races, 2, { only: FEW });
    const unmerged = fallen(races, 2, { only: FEW, unmerged: true });
    expect(unmerged.property).toBe(merged.property);
    expect(unmerged.story).toEqual(merged.story);
    expect(unmerged.states).toBeGreaterThanOrEqual(merged.states);
  });

  test('must be brought back to a point', () => {
    const xen = {
      name: 'xen',
      create: () => createXen({}),
      driver: initHekiOnKvm,
      profile: 'hardened',
    } as const;
    expect(() => interleavedMachine(xen)).toThrow(RangeError);
  });
});
