import { createKvm, type KvmDefectId, type KvmOptions } from '@heki/kvm';
import { initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import { AMD_ZEN4 } from '@heki/x86';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { BACKEND_MACHINES, hypervMachine, kvmMachine, xenMachine } from '../testing/backend-machines.ts';
import { type BackendState, backendMachine } from './backend-machine.ts';
import type { BackendAction } from './scene.ts';

/** Every state that is one action from the start, and from one of those. */
function states(machine: Machine<BackendState, BackendAction>): string[] {
  const seen: string[] = [];
  const next: BackendState[] = [];
  machine.successors(machine.initial(), (action, state) => {
    seen.push(`${action.name}: ${state.key} ${machine.broken(state)}`);
    next.push(state);
  });
  const [first] = next;
  if (first !== undefined)
    machine.successors(first, (action, after) => seen.push(`${action.name}: ${after.key}`));
  return seen;
}

describe('a backend', () => {
  test.each(BACKEND_MACHINES)(
    'that is brought back to a point goes on as one that comes there from the beginning: %s',
    (_, make) => {
      const brought = states(make({}));
      expect(brought.length).toBeGreaterThan(60);
      expect(brought).toEqual(states(make({ retold: true })));
    },
  );

  test.each<[KvmDefectId, property: string, story: readonly string[]]>([
    ['B-H1', 'P2', ['the guest asks for r-x on the text', 'the guest asks for r-- on the text']],
    ['B-H2', 'P4', ['the guest sends a list page that says that it holds 170 entries']],
    ['B-H3', 'P4', ['the guest sends a list that leads back to itself']],
    ['B-H4', 'P4', ['the guest sends a list page that is not there']],
    ['B-H5', 'P4', ['the guest sends a range of 4 TiB and a page']],
    [
      'B-H6',
      'P10',
      ['the guest asks for r-- on the data, and in the same list for a frame that is not memory'],
    ],
    ['B-H7', 'P1', ['the guest asks for r-x on the text']],
    ['B-H8', 'P2', ['the guest asks for rw- on the whole 2 MiB', 'the guest asks for r-- on the data']],
    ['B-H9', 'P4', ['the guest asks for rw- on all of its memory']],
    [
      'B-H10',
      'P2',
      ['the guest asks for r-x on the text', "the VMM takes the guest's memory away and gives it back"],
    ],
    ['B-H13', 'CR', ['the guest pins its control registers', 'processor 0 clears CR0.WP']],
    ['B-H14', 'P11', ['the machine is reset']],
    ['B-H18', 'P9', ['the guest asks for the right to write the text without reading it']],
  ])('with %s breaks %s, which is found without being told', (defect, property, story) => {
    const found = search(kvmMachine('hardened', defect), { depth: 2, properties: [property] });
    expect(found.counterexamples.map(({ actions }) => actions.map(({ name }) => name))).toEqual([story]);
  });

  test.each<[KvmDefectId, property: string, KvmOptions, story: string]>([
    ['B-H16', 'P9', { nxHugePages: true }, 'the guest asks for rw- on the whole 2 MiB'],
    ['B-H17', 'P8', { processor: AMD_ZEN4 }, 'the guest asks for r-x on the text'],
    ['B-H20', 'P9', { hostCr4: 0n }, 'the guest pins its control registers'],
  ])(
    'with %s on a machine where it matters breaks %s, which holds there without it',
    (defect, property, options, story) => {
      const broken = (on: boolean): readonly string[] => {
        const create = () => createKvm({ ...options, defects: { [defect]: on } });
        const machine = backendMachine({ name: 'kvm', create, driver: initHekiOnKvm, profile: 'hardened' });
        return replay(machine, [story]).broken;
      };
      expect(broken(true)).toContain(property);
      expect(broken(false)).toEqual([]);
    },
  );

  // What was saved says less than what is enforced: another machine goes on with other rights.
  test.each<[KvmDefectId, story: readonly string[]]>([
    ['B-H8', ['the guest asks for rw- on the whole 2 MiB', 'the guest asks for r-- on the text']],
    [
      'B-H18',
      [
        'the guest asks for rw- on the data',
        'the guest asks for the right to write the text without reading it',
      ],
    ],
  ])('with %s does not go on elsewhere as it would here (P13)', (defect, story) => {
    const options = { squares: true, without: ['vmm', 'device', 'hypervisor'] } as const;
    const found = search(kvmMachine('hardened', defect, options), { depth: 2, properties: ['P13'] });
    expect(found.counterexamples.map(({ actions }) => actions.map(({ name }) => name))).toEqual([story]);
  });

  // A store that is skipped completes, and is not one that was allowed.
  test('that skips what it denies has denied it', () => {
    const machine = backendMachine({
      name: 'xen',
      create: () => createXen({ memoryVerdict: 'skip' }),
      driver: initHekiOnXen,
      profile: 'hardened',
    });
    expect(search(machine, { depth: 1, properties: ['P2', 'P3', 'P9'] }).counterexamples).toEqual([]);
  });

  test('with B-ALIAS lets the text be written through another slot over it, and without it does not', () => {
    const story = [
      'the guest asks for r-x on the text',
      'the VMM adds a slot that shows the same memory again',
      'processor 0 stores to the text through the second slot',
    ];
    expect(replay(kvmMachine('hardened', 'B-ALIAS'), story)).toEqual({
      steps: 3,
      broken: ['P12', 'P2', 'P9'],
    });
    expect(replay(kvmMachine('hardened'), story)).toEqual({ steps: 3, broken: [] });
  });

  // What the VMM and devices may do is not a defect: they are declared bypasses (P12).
  test('without defects grants whoever asks the right to execute what he wrote, and breaks nothing else', () => {
    const { end, counterexamples } = search(
      kvmMachine('hardened', undefined, { without: ['device', 'vmm'] }),
      {
        depth: 2,
      },
    );
    expect(end).toBe('depth');
    expect(counterexamples.map(({ property, actions }) => [property, actions.length])).toEqual([['P6', 2]]);
  });

  test.each([
    ['Hyper-V', hypervMachine],
    ['Xen', xenMachine],
  ])('need not be KVM: %s', (_, make) => {
    const { states: reached, counterexamples } = search(make({}), { depth: 1 });
    expect(reached).toBeGreaterThan(15);
    expect(counterexamples.map(({ property }) => property)).toContain('P1');
  });
});
