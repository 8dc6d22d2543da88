import { createHyperv } from '@heki/hyperv';
import { createKvm, type KvmRaces } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import type { ExploredBackend } from '../backend/tiny-guest.ts';
import { replay, stateAfter } from '../replay.ts';
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

function tell(machine: ReturnType<typeof kvm>, story: readonly string[]) {
  const state = stateAfter(machine, story);
  if (state === undefined) throw new RangeError(`${JSON.stringify(story)} cannot happen`);
  return state;
}

const FEW = ['stores to the text', 'r-- on the text'];

describe('KVM, with all that can come between the parts of its requests and faults', () => {
  // The whole of this small machine is a long test.
  test('grants nothing after a call returned that the attributes do not', () => {
    const { end, states, counterexamples } = fallen({}, 3, { only: FEW });
    expect([end, counterexamples]).toEqual(['depth', []]);
    expect(states).toBeGreaterThan(100);
  });

  test('maps a fault though what it looked at has changed where that is not looked at again', () => {
    const story = [
      'processor 1 asks for rw- on the text',
      'processor 0 begins to ask for r-- on the text',
      'at point 3 of the request processor 1 stores to the text',
      'the request returns',
    ];
    const only = { only: [...FEW, 'rw- on the text'] };
    expect(replay(kvm({ staleFaults: true }, only), story)).toEqual({ steps: 4, broken: ['LEAF', 'TLB'] });
  });

  test('is found out where only one processor is told to forget what it cached', () => {
    const { story, property } = fallen({ localFlush: true }, 3, { only: FEW });
    expect([property, story.length]).toEqual(['TLB', 2]);
  });

  // Memory, tables and processors are the same in both: only one of the requests has read its list before the other overwrote it.
  test('tells requests apart that have something else in their hands', () => {
    const begins = 'processor 0 begins to ask for r-x on the text';
    const stories = [1, 2].map((point) => [
      begins,
      `at point ${point} of the request processor 1 asks for r-- on the second name of the text`,
      'at point 2 of the request processor 1 reads the second name of the text, and stands at its fault',
    ]);
    const only = ['r-x on the text', 'r-- on the second name', 'reads the second name'];
    const machine = kvm({}, { only });
    const keys = stories.map((story) => machine.key(tell(machine, story)));
    expect(keys[0]).not.toBe(keys[1]);
    const ends = stories.map((story) => machine.key(tell(machine, [...story, 'the request returns'])));
    expect(ends[0]).not.toBe(ends[1]);
  });

  // One processor faults on the guest's page table, the other has had it mapped: the tables are then the same.
  test('tells faults apart that are of something else', () => {
    const stands = 'processor 1 reads the text, and stands at its fault';
    const reads = 'processor 0 reads the second name of the text';
    const stories = [
      [stands, reads],
      [reads, stands, 'processor 1 loses what it has cached'],
    ];
    const machine = kvm({}, { only: ['reads the text', 'reads the second name'] });
    const [first, second] = stories.map((story) => machine.key(tell(machine, story)));
    expect(first).not.toBe(second);
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
    const create = () => {
      const known = createKvm({});
      type Options = Parameters<typeof known.createVirtualMachine>[0];
      return {
        ...known,
        createVirtualMachine: (options: Options) => ({
          ...known.createVirtualMachine(options),
          checkpoint: () => undefined,
        }),
      };
    };
    const backend = { name: 'kvm', create, driver: initHekiOnKvm, profile: 'hardened' } as const;
    expect(() => interleavedMachine(backend)).toThrow(RangeError);
  });
});

type Create = ExploredBackend['create'];

/** The same hypervisor on a machine whose processor 1 never forgets what it cached. */
function stale(create: Create): Create {
  return () => {
    const hypervisor = create();
    return {
      ...hypervisor,
      createVirtualMachine(options) {
        const vm = hypervisor.createVirtualMachine(options);
        return {
          ...vm,
          vcpus: vm.vcpus,
          createVcpu(setup) {
            const vcpu = vm.createVcpu(setup);
            if (vm.vcpus.length === 2) vcpu.invept = () => {};
            return vcpu;
          },
        };
      },
    };
  };
}

describe.each<[string, Create, ExploredBackend['driver']]>([
  ['Hyper-V', () => createHyperv({ trusted: {} }), initHekiOnHyperv],
  ['Xen', () => createXen({}), initHekiOnXen],
])('%s, between whose parts of requests others act', (name, create, driver) => {
  const found = (made: Create): string[] => {
    const machine = interleavedMachine(
      { name, create: made, driver, profile: 'hardened' },
      { only: ['reads the text', ...FEW] },
    );
    const { counterexamples } = search(machine, { depth: 2 });
    return counterexamples.map(({ property, actions }) =>
      [property, ...actions.map((action) => machine.describe(action))].join('; '),
    );
  };

  test('grants nothing after a call returned that it should not', () => {
    expect(found(create)).toEqual([]);
  });

  // A request that is left in the middle keeps nothing: the pages of its list are there for the next.
  test('can do the same as often as it is looked at', () => {
    const machine = interleavedMachine({ name, create, driver, profile: 'hardened' });
    const first = machine.initial();
    const look = (): string[] => {
      const steps: string[] = [];
      machine.successors(first, (step, { points }) => steps.push(`${machine.describe(step)}: ${points}`));
      return steps;
    };
    const steps = look();
    expect(steps.filter((step) => step.includes('begins to ask')).length).toBe(9);
    expect(look()).toEqual(steps);
  });

  test('is found out where a processor goes on with what it cached', () => {
    expect(found(stale(create))).toEqual([
      'TLB; processor 1 reads the text; processor 1 asks for r-- on the text',
    ]);
  });
});
