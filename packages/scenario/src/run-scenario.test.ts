import { createKvm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import { type LinuxMachine, type MachineSpecification, pcMemoryMap } from '@heki/machine';
import { createCodeSigner } from '@heki/machine/code-signer';
import type { Profile } from '@heki/series';
import { describe, expect, test } from 'vitest';
import {
  createScenarioMachine,
  describeScenario,
  type PageClass,
  runScenario,
  runWorkload,
  type Step,
  WORKLOAD_SETTINGS,
  WORKLOADS,
} from './index.ts';

const create = (machine: MachineSpecification, steps: readonly Step[] = []): LinuxMachine =>
  createScenarioMachine(
    { machine: { memory: '64MiB', ...machine }, steps },
    { hypervisor: createKvm, kernel: SMALL_KERNEL, codeSigner: createCodeSigner },
  );

const steps: readonly Step[] = [
  { do: 'load-module', name: 'm', staticCalls: 2 },
  { do: 'load-bpf', name: 'p' },
  { do: 'churn-modules', count: 2 },
  { do: 'vmalloc', name: 'a', pages: 3 },
];

const byName = (classes: readonly PageClass[], name: string): PageClass | undefined =>
  classes.find((one) => one.name === name);
const counts = (map: ReadonlyMap<string, number> | undefined) => Object.fromEntries(map ?? []);

describe('in the end of a life', () => {
  test('every kind of page has in the second level what its mappings allow', () => {
    const { expected, classes } = runScenario(create({}), { steps });
    expect(expected).toBe(true);
    for (const { excess, withheld, mappings, granted } of classes) {
      expect([excess, withheld]).toEqual([0, 0]);
      expect(counts(granted)).toEqual(counts(mappings));
    }
    expect(counts(byName(classes, 'module text')?.granted)).toEqual({ 'r-x': 4 });
    expect(counts(byName(classes, 'module rodata')?.granted)).toEqual({ 'r--': 3 });
    expect(counts(byName(classes, 'vmalloc areas')?.granted)).toEqual({ 'rw-': 3 });
    const pages = classes.reduce((sum, one) => sum + one.pages, 0);
    expect(pages).toBe(pcMemoryMap(64 * 2 ** 20).ramFrames);
  });

  test('the published series leaves pages of modules writable and executable, freed ones too, and rodata writable', () => {
    const { classes } = runScenario(create({ profile: 'rfc-v2' }), { steps });
    expect(byName(classes, 'module text')?.writableAndExecutable).toBeGreaterThan(0);
    expect(byName(classes, 'freed by modules and eBPF')?.writableAndExecutable).toBeGreaterThan(0);
    expect(counts(byName(classes, 'module rodata')?.granted)).not.toHaveProperty('r--');
    expect(byName(classes, 'trampoline text')?.withheld).toBe(2);
    expect(byName(classes, 'kernel text')?.excess).toBe(0);
  });
});

describe('a step', () => {
  test('that the kernel does not survive ends the life', () => {
    const { steps: results, expected } = runScenario(create({ profile: 'rfc-v2' }), {
      steps: [
        { do: 'trace', on: 'kernel' },
        { do: 'churn-modules', count: 1 },
      ],
    });
    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ verdict: 'oops', expected: false });
    expect(results[0]?.reason).toMatch(/^store at 0x[0-9a-f]+: #PF 0x3 \(P W\)$/);
    expect(expected).toBe(false);
  });

  test('may be expected to fail', () => {
    const { expected, steps: results } = runScenario(create({}), {
      steps: [
        { do: 'trace', on: 'kernel', expect: 'error' },
        { do: 'cpu-up', cpu: 1, expect: 'error' },
        { do: 'vmalloc', name: 'a', pages: 1, expect: 'error' },
      ],
    });
    expect(results.map((result) => result.expected)).toEqual([true, true, false]);
    expect(expected).toBe(false);
  });

  test.each<[needed: string, step: Step]>([
    ['module', { do: 'unload-module', name: 'x' }],
    ['program', { do: 'unload-bpf', name: 'x' }],
    ['area', { do: 'vfree', name: 'x' }],
    ['module', { do: 'trace', on: 'x' }],
  ])('that needs a %s which no step made is invalid, and the run ends there: %j', (needed, step) => {
    const first: Step = { do: 'vmalloc', name: 'a', pages: 1 };
    const last: Step = { do: 'vfree', name: 'a' };
    const result = runScenario(create({}), { steps: [first, step, last] });
    expect(result.steps.map(({ verdict, expected }) => [verdict, expected])).toEqual([
      ['works', true],
      ['invalid', false],
    ]);
    expect(result.steps[1]?.reason).toBe(`there is no ${needed} x: an earlier step must make it`);
    expect(result.notTaken).toEqual([last]);
    expect(result.expected).toBe(false);
    expect(result.classes).not.toEqual([]);
    const lines = describeScenario({ machine: {}, steps: [] }, result);
    expect(lines.slice(0, 3)).toEqual([
      '  works    vmalloc a pages 1',
      `  invalid  ${Object.values(step).join(' ')}: there is no ${needed} x: an earlier step must make it (expected: works)`,
      '  not taken: vfree a',
    ]);
  });

  test('that the model refuses is invalid, too, and is not a crash', () => {
    const { steps: taken } = runScenario(create({}), { steps: [{ do: 'cpu-up', cpu: 7 }] });
    expect(taken[0]?.verdict).not.toBe('works');
  });

  test('of boot that is invalid lets boot end, and no later step is taken', () => {
    const initcalls: readonly Step[] = [{ do: 'vfree', name: 'a' }, { do: 'suspend' }];
    const result = runScenario(create({}), { initcalls, steps: [{ do: 'untrace' }] });
    expect(result.boot).toBe('works');
    expect(result.notTaken).toEqual([{ do: 'suspend' }, { do: 'untrace' }]);
    expect(result.classes).not.toEqual([]);
  });
});

describe('expected rights', () => {
  const made: readonly Step[] = [
    { do: 'load-module', name: 'm' },
    { do: 'load-bpf', name: 'p' },
    { do: 'vmalloc', name: 'a', pages: 2 },
  ];
  const expectRights = [
    { of: 'module m text', grants: 'r-x' },
    { of: 'module m rodata', grants: 'r--' },
    { of: 'program p', grants: 'r-x' },
    { of: 'area a', grants: 'rw-' },
    { of: 'kernel text', grants: 'r-x' },
    { of: 'every page', never: 'wx' },
  ] as const;
  const differing = (machine: MachineSpecification) => {
    const result = runScenario(create(machine), { steps: made, expectRights });
    const wrong = result.expectedRights.filter(({ expected }) => !expected);
    expect(result.expected).toBe(wrong.length === 0);
    return wrong.map(({ of, granted }) => [of, granted]);
  };

  test('are met by a machine without defects', () => {
    expect(differing({})).toEqual([]);
  });

  test('are a finding where the hypervisor grants otherwise', () => {
    expect(differing({ defects: { 'B-H1': true } })).toContainEqual(['module m rodata', { 'rw-': 2 }]);
    expect(differing({ hypervisor: 'none' }).map(([of]) => of)).toContain('every page');
  });

  test('of what there is not are a finding, and what there is is named', () => {
    const result = runScenario(create({}), {
      steps: made,
      expectRights: [{ of: 'module x text', grants: 'r-x' }],
    });
    expect(result.expectedRights[0]).toMatchObject({ expected: false, granted: {} });
    expect(result.expectedRights[0]?.reason).toMatch(
      /^there are no pages of module x text: expected every page, /,
    );
    expect(result.expectedRights[0]?.reason).toContain('module m text');
  });
});

describe('a step', () => {
  test.each<readonly Step[]>([
    [
      { do: 'load-module', name: 'm' },
      { do: 'trace', on: 'm' },
      { do: 'probe', on: 'm', optimized: true },
      { do: 'static-key', on: 'm', enabled: true },
      { do: 'untrace' },
      { do: 'unprobe', on: 'm' },
      { do: 'static-key', on: 'm', enabled: false },
      { do: 'unload-module', name: 'm' },
    ],
    [
      { do: 'exhaust-memory', leave: 2 },
      { do: 'load-module', name: 'm', expect: 'error' },
      { do: 'release-memory' },
      { do: 'load-module', name: 'm' },
    ],
    [
      { do: 'vmalloc', name: 'a', pages: 4 },
      { do: 'set-memory', name: 'a', what: 'ro' },
      { do: 'set-memory', name: 'a', what: 'x' },
      { do: 'vfree', name: 'a' },
    ],
  ])('follows the other', (...life) => {
    const { steps: results, classes } = runScenario(create({}), { steps: life });
    expect(results.filter(({ expected }) => !expected)).toEqual([]);
    expect(classes.filter(({ excess, withheld }) => excess + withheld > 0)).toEqual([]);
  });
});

describe('legitimate work', () => {
  const verdicts = (setting: string) =>
    Object.fromEntries(
      WORKLOADS.map((workload) => {
        const found = WORKLOAD_SETTINGS.find(({ name }) => name === setting);
        if (found === undefined) throw new Error(setting);
        return [workload.name, runWorkload(workload, found, ({ machine }) => create(machine)).verdict];
      }),
    );

  test('all works without Heki', () => {
    expect(new Set(Object.values(verdicts('no Heki')))).toEqual(new Set(['works']));
  });

  test('breaks under the published series where it patches what was there at boot, or starts in real mode', () => {
    expect(Object.entries(verdicts('rfc-v2')).filter(([, verdict]) => verdict !== 'works')).toEqual([
      ['jit-boot-pack', 'breaks'],
      ['ftrace-kernel', 'breaks'],
      ['kprobe-kernel', 'breaks'],
      ['static-key-kernel', 'breaks'],
      ['cpu-hotplug', 'refused'],
      ['suspend', 'breaks'],
      ['kexec', 'breaks'],
    ]);
  });

  test('never breaks when the defects are mended: patches of the kernel are refused, and it goes on', () => {
    const all = verdicts('hardened');
    expect(Object.keys(all).filter((name) => all[name] !== 'works')).toEqual([
      'ftrace-kernel',
      'kprobe-kernel',
      'static-key-kernel',
    ]);
    expect(Object.values(all)).not.toContain('breaks');
  });
});

test('steps can be taken among the initcalls: what boot generated is immutable under the published series (B-G16)', () => {
  const initcalls: readonly Step[] = [{ do: 'load-bpf', name: 'first' }];
  const verdicts = (profile: Profile): (string | undefined)[] => {
    const machine = create({ profile, vcpus: 2 });
    const { steps: taken } = runScenario(machine, { initcalls, steps: [{ do: 'load-bpf', name: 'second' }] });
    return taken.map(({ verdict }) => verdict);
  };
  expect(verdicts('rfc-v2')).toEqual(['works', 'oops']);
  expect(verdicts('hardened')).toEqual(['works', 'works']);
});

test('a program that boot has compiled is gone after the seal when the owner of the code refuses it, and what it allows goes on', () => {
  const machine = create({ authenticate: true });
  const initcalls: readonly Step[] = [
    // Too small for a frame: no JIT makes such a one.
    { do: 'load-bpf', name: 'bare', size: 4 },
    { do: 'load-bpf', name: 'framed' },
  ];
  const later: readonly Step[] = [
    { do: 'unload-bpf', name: 'bare' },
    { do: 'unload-bpf', name: 'framed' },
    { do: 'load-bpf', name: 'again' },
  ];
  const { steps: taken } = runScenario(machine, { initcalls, steps: later });
  expect(taken.map(({ verdict }) => verdict)).toEqual(['works', 'works', 'error', 'works', 'works']);
});

test('a machine whose code has an owner is made where somebody signs, and not without', () => {
  const scenario = { machine: { authenticate: true }, steps: [] };
  expect(() => createScenarioMachine(scenario, { hypervisor: createKvm })).toThrow(
    'authenticate: expected who signs the code among the options, as codeSigner',
  );
});

describe('an attack in a life', () => {
  const run = (machine: MachineSpecification, all: readonly Step[]) =>
    runScenario(create(machine, all), { steps: all });
  const made: readonly Step[] = [
    { do: 'load-module', name: 'm', staticCalls: 2 },
    { do: 'load-bpf', name: 'p' },
    { do: 'vmalloc', name: 'a', pages: 1 },
  ];
  const attacks: readonly Step[] = [
    { do: 'attack', how: 'store-text-after-pte-edit' },
    { do: 'attack', how: 'store-text-after-pte-edit', on: 'm' },
    { do: 'attack', how: 'store-text-after-pte-edit', on: 'p' },
    { do: 'attack', how: 'store-text-direct-map', on: 'm' },
    { do: 'attack', how: 'execute-data', on: 'm' },
    { do: 'attack', how: 'execute-data', on: 'a' },
    { do: 'attack', how: 'clear-smep' },
    { do: 'attack', how: 'switch-heki-off' },
  ];

  test('is blocked wherever memory is protected, and the kernel goes on', () => {
    const result = run({}, [...made, ...attacks, { do: 'unload-module', name: 'm' }]);
    expect(result.steps.slice(3, -1).map(({ verdict }) => verdict)).toEqual(attacks.map(() => 'blocked'));
    expect(result.expected).toBe(true);
  });

  test('works without Heki, but for the direct map, which Linux itself has made read-only', () => {
    const { steps: taken, expected } = run({ hypervisor: 'none' }, [...made, ...attacks]);
    const unusual = new Map([
      ['store-text-direct-map', 'blocked'],
      // It protects nothing that could be switched off.
      ['switch-heki-off', 'not-tried'],
    ]);
    expect(taken.slice(3).map(({ verdict }) => verdict)).toEqual(
      attacks.map((step) => (step.do === 'attack' ? (unusual.get(step.how) ?? 'works') : '')),
    );
    expect(expected).toBe(false);
  });

  test('names what stopped it', () => {
    const { steps: taken } = run({}, [...made, ...attacks]);
    expect(taken.map(({ by }) => by)).toEqual([
      ...made.map(() => null),
      'second-level',
      'second-level',
      'second-level',
      'guest-page-tables',
      'second-level',
      'second-level',
      'cr-pin',
      'second-level',
    ]);
  });

  test.each<[expect: 'blocked' | 'works' | 'not-tried' | undefined, expected: boolean]>([
    [undefined, true],
    ['not-tried', true],
    ['blocked', false],
    ['works', false],
  ])('with nothing to attack is neither blocked nor does it work: expecting %s', (expectation, expected) => {
    const off: Step = {
      do: 'attack',
      how: 'switch-heki-off',
      expect: expectation,
    };
    const result = run({ commandLine: 'heki=0' }, [off]);
    expect(result.steps).toMatchObject([{ verdict: 'not-tried', by: null, expected }]);
    expect(result.steps[0]?.reason).toContain('heki.protect_memory is 0');
    expect(result.expected).toBe(expected);
  });

  test('works on module text that was patched once under the published series', () => {
    const step: Step = { do: 'attack', how: 'store-text-after-pte-edit', on: 'm' };
    const { steps: taken } = run({ profile: 'rfc-v2' }, [...made, step]);
    expect(taken.at(-1)).toMatchObject({ verdict: 'works', reason: 'the byte was changed' });
  });

  test('that switches Heki off works under the published series, and nothing is protected afterwards (B-G17)', () => {
    const off: Step = { do: 'attack', how: 'switch-heki-off' };
    const later: Step = { do: 'vmalloc', name: 'later', pages: 1 };
    const sealed: Step = { do: 'set-memory', name: 'later', what: 'ro' };
    const life = (profile: Profile) => {
      const { steps: taken, classes } = run({ profile }, [off, later, sealed]);
      return [taken[0]?.verdict, counts(byName(classes, 'vmalloc areas')?.granted)];
    };
    expect(life('rfc-v2')).toEqual(['works', { 'rw-': 1 }]);
    expect(life('hardened')).toEqual(['blocked', { 'r--': 1 }]);
  });

  test('needs something to attack', () => {
    const attack = (step: Step) => run({}, [...made, step]).steps.at(-1);
    expect(attack({ do: 'attack', how: 'store-text', on: 'x' })).toMatchObject({
      verdict: 'invalid',
      reason: expect.stringMatching(/there is no x to attack/),
    });
    expect(attack({ do: 'attack', how: 'execute-data', on: 'p' })).toMatchObject({
      verdict: 'invalid',
      reason: expect.stringMatching(/execute-data on p: no writable page/),
    });
  });
});
