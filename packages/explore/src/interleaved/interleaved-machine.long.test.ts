import { createKvm, type KvmRaces } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { describe, expect, test } from 'vitest';
import { search } from '../search.ts';
import { interleavedMachine } from './interleaved-machine.ts';

const FEW = ['stores to the text', 'r-- on the text'];
const kvm = (races: Partial<KvmRaces>, only: readonly string[]) =>
  interleavedMachine(
    { name: 'kvm', create: () => createKvm({ races }), driver: initHekiOnKvm, profile: 'hardened' },
    { only },
  );

describe('KVM, with all that can come between the parts of its requests and faults', () => {
  test('grants nothing after a call returned that the attributes do not: all of a small machine', () => {
    const { end, states, counterexamples } = search(kvm({}, FEW));
    expect([end, counterexamples]).toEqual(['closed', []]);
    expect(states).toBeGreaterThan(1000);
  });

  test('is found out where a fault is mapped though what it looked at has changed', () => {
    const machine = kvm({ staleFaults: true }, [...FEW, 'rw- on the text']);
    const { counterexamples } = search(machine, { depth: 4, stop: ({ fallen }) => fallen > 0 });
    const [found] = counterexamples;
    const story = found?.actions.map((action) => machine.describe(action)) ?? [];
    expect(found?.property).toBe('LEAF');
    expect(story.at(-1)).toMatch(/the request returns|goes on with its fault/);
    expect(story.join()).toContain('processor 1 stores to the text');
  });
});
