import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import type { HekiDriver, HypervisorSettings, MachineSpecification } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import { createScenarioMachine } from './create-scenario-machine.ts';
import { beginLife, framesBehind } from './life.ts';
import { runScenario, runSteps, type StepResult } from './run-scenario.ts';
import type { Step } from './schema/step-schema.ts';

interface Backend {
  readonly hypervisor: (settings: HypervisorSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
}

const BACKENDS = {
  kvm: { hypervisor: createKvm, driver: initHekiOnKvm },
  vmm: { hypervisor: ({ processor }) => createKvmVmm({ processor }), driver: initHekiOnKvm },
  hyperv: { hypervisor: () => createHyperv(), driver: initHekiOnHyperv },
  lvbs: { hypervisor: ({ trusted }) => createHyperv({ trusted }), driver: initHekiOnHyperv },
  xen: { hypervisor: () => createXen(), driver: initHekiOnXen },
} satisfies Record<string, Backend>;
const ON_KVM = { ...BACKENDS.kvm, kernel: SMALL_KERNEL };

function live(
  steps: readonly Step[],
  machine: MachineSpecification = {},
  backend: keyof typeof BACKENDS = 'kvm',
): readonly StepResult[] {
  const scenario = { machine: { memory: '64MiB', vcpus: 2, ...machine }, steps };
  const options: Backend = BACKENDS[backend];
  return runScenario(createScenarioMachine(scenario, { ...options, kernel: SMALL_KERNEL }), scenario).steps;
}
const verdicts = (results: readonly StepResult[]): string[] => results.map(({ verdict }) => verdict);

describe('a step on a processor', () => {
  test('is done there: its requests come from there', () => {
    const from: number[] = [];
    const scenario = {
      machine: { memory: '64MiB', vcpus: 2 },
      steps: [{ do: 'load-module', name: 'm', cpu: 1 }] satisfies Step[],
    };
    const machine = createScenarioMachine(scenario, {
      ...ON_KVM,
      processorEvents: true,
      onEvent({ from: part, event }) {
        if (part === 'vcpu' && event.type === 'exit' && event.exit.reason === 'hypercall')
          from.push(event.vcpu);
      },
    });
    expect(machine.kernel.boot().kind).toBe('done');
    from.length = 0;
    expect(verdicts(runScenario(machine, { steps: scenario.steps }).steps)).toEqual(['works']);
    expect(new Set(from)).toEqual(new Set([1]));
  });

  test('that is offline is an error, and that there is not is invalid', () => {
    const load = (cpu: number): Step => ({ do: 'load-module', name: 'm', cpu });
    expect(live([{ do: 'cpu-down', cpu: 1 }, load(1)])).toMatchObject([
      { verdict: 'works' },
      { verdict: 'error', reason: '-6: processor 1 is offline' },
    ]);
    expect(verdicts(live([load(7)]))).not.toContain('works');
  });

  test.each(Object.keys(BACKENDS) as (keyof typeof BACKENDS)[])(
    'cannot clear SMEP on any processor of %s',
    (backend) => {
      const attacks = [0, 1, 2].map((cpu): Step => ({ do: 'attack', how: 'clear-smep', cpu }));
      expect(verdicts(live(attacks, { vcpus: 3 }, backend))).toEqual(['blocked', 'blocked', 'blocked']);
    },
  );
});

describe('a request that fails', () => {
  const load = (name: string): Step => ({ do: 'load-module', name });

  test('is the one that was chosen, once, and the kernel takes its change back', () => {
    const steps: Step[] = [
      { do: 'fail-hypercall', error: 12 },
      load('a'),
      load('a'),
      { do: 'unload-module', name: 'a' },
      { do: 'churn-modules', count: 2 },
    ];
    const results = live(steps);
    expect(verdicts(results)).toEqual(['works', 'error', 'works', 'works', 'works']);
    expect(results[1]?.reason).toBe('-12: Heki refused the change');
  });

  test('may be one to the secure kernel of LVBS, which then has not seen the module', () => {
    const results = live([{ do: 'fail-hypercall', error: 12 }, load('a'), load('a')], {}, 'lvbs');
    expect(verdicts(results)).toEqual(['works', 'error', 'works']);
    expect(results[1]?.reason).toMatch(/^-12: /);
  });

  const kernelAfter = (call: number, step: Step) => {
    const scenario = {
      machine: { memory: '64MiB' },
      steps: [{ do: 'fail-hypercall', call, error: 5 }, step] satisfies Step[],
    };
    const { steps, classes } = runScenario(createScenarioMachine(scenario, ON_KVM), scenario);
    const beyond = classes.filter(({ excess }) => excess > 0).map(({ excess }) => excess);
    return { end: steps[1]?.verdict, reason: steps[1]?.reason, beyond };
  };

  test('of those that load a module, whichever it is, leaves no page with more than its mappings have', () => {
    for (let call = 1; call <= 8; call++)
      expect(kernelAfter(call, load('a'))).toMatchObject({ end: 'error', beyond: [] });
    expect(kernelAfter(9, load('a'))).toMatchObject({ end: 'works', beyond: [] });
  });

  test('that closes the text again leaves it open, and that is seen', () => {
    expect(kernelAfter(4, { do: 'load-bpf', name: 'p' })).toEqual({
      end: 'error',
      reason: '-5: Heki refused to close the text',
      beyond: [1],
    });
  });

  test('of boot leaves the kernel unprotected, and it says so', () => {
    const initcalls: Step[] = [{ do: 'fail-hypercall', error: 12 }];
    const scenario = { machine: { memory: '64MiB' }, initcalls, steps: [] };
    const machine = createScenarioMachine(scenario, ON_KVM);
    expect(runScenario(machine, scenario).boot).toBe('works');
    expect(machine.kernel.hekiInit.late).toMatchObject({ outcome: 'registers-refused', error: -12 });
  });

  test('is invalid where no request is made', () => {
    expect(live([{ do: 'fail-hypercall', error: 1 }], { hypervisor: 'none' })).toMatchObject([
      { verdict: 'invalid', reason: 'the kernel makes no requests: it found no hypervisor with Heki' },
    ]);
  });
});

describe('saving and restoring', () => {
  const attacks: readonly Step[] = [
    { do: 'attack', how: 'store-text-after-pte-edit' },
    { do: 'attack', how: 'clear-smep', cpu: 1 },
  ];

  test.each(Object.keys(BACKENDS) as (keyof typeof BACKENDS)[])('keeps what %s enforces', (backend) => {
    const steps: Step[] = [
      { do: 'load-module', name: 'm' },
      { do: 'save-and-restore' },
      ...attacks,
      { do: 'unload-module', name: 'm' },
    ];
    expect(verdicts(live(steps, {}, backend))).toEqual(['works', 'works', 'blocked', 'blocked', 'works']);
  });

  test('is an error where the hypervisor cannot be asked, as published', () => {
    expect(live([{ do: 'save-and-restore' }], { profile: 'rfc-v2' })).toMatchObject([
      { verdict: 'error', reason: '-6: the hypervisor cannot be asked what it enforces' },
    ]);
  });
});

describe('a livepatch', () => {
  const patch: Step = { do: 'livepatch', name: 'fix', on: 'kernel' };
  const unpatch: Step = { do: 'unlivepatch', name: 'fix' };

  test('of a module works, and can be taken back', () => {
    const steps: Step[] = [
      { do: 'load-module', name: 'm' },
      { do: 'trace', on: 'm' },
      { ...patch, on: 'm' } as Step,
      unpatch,
      { do: 'untrace' },
    ];
    expect(verdicts(live(steps))).toEqual(['works', 'works', 'works', 'works', 'works']);
  });

  test('of the kernel image is refused, because its text is final', () => {
    expect(live([patch])).toMatchObject([{ verdict: 'error', reason: '-1: Heki refused to open the text' }]);
    expect(verdicts(live([patch, unpatch], { hypervisor: 'none' }))).toEqual(['works', 'works']);
  });

  test('that there is not is invalid', () => {
    expect(verdicts(live([unpatch]))).toEqual(['invalid']);
  });
});

describe('a race', () => {
  const race = (seed: number, how = 'store-text-after-pte-edit'): Step => ({
    do: 'race',
    work: { do: 'trace', on: 'm' },
    how,
    on: 'm',
    seed,
  });
  const load: Step = { do: 'load-module', name: 'm' };

  test('is the same for the same seed, and another for another', () => {
    const reasons = [1, 1, 2, 3, 4].map((seed) => live([load, race(seed)])[1]?.reason);
    expect(reasons[0]).toBe(reasons[1]);
    expect(new Set(reasons).size).toBeGreaterThan(1);
  });

  test('is won by whoever attacks where nothing is protected, and the kernel goes on with its work', () => {
    expect(live([load, race(1), { do: 'untrace' }], { hypervisor: 'none' })).toMatchObject([
      { verdict: 'works' },
      { verdict: 'works', claimed: false, expected: false, reason: expect.stringMatching(/^at attempt 1: /) },
      { verdict: 'works' },
    ]);
  });

  test('is about what is not there yet: nothing was attacked', () => {
    const early: Step = { do: 'race', work: { do: 'untrace' }, how: 'store-text', on: 'm', seed: 1 };
    expect(verdicts(live([early]))).toEqual(['not-tried']);
  });

  test('against a processor that does not run is invalid, and names those that do', () => {
    expect(live([load, { ...race(1), cpu: 5 } as Step], { vcpus: 3 })[1]).toMatchObject({
      verdict: 'invalid',
      reason: 'race on processor 5: expected another one that runs: 1, 2',
    });
    expect(live([load, race(1)], { vcpus: 1 })[1]?.reason).toContain('there is none');
  });

  test('ends with the outcome of the work where that fails', () => {
    const twice: Step = { do: 'race', work: load, how: 'store-text', seed: 1 } as Step;
    expect(live([load, twice])[1]).toMatchObject({
      verdict: 'error',
      reason: '-17: module m is loaded already',
    });
  });
});

describe('a user process', () => {
  const start = (name: string): Step => ({ do: 'start-process', name, text: 2, data: 3, jit: 2 });
  const run = (name: string): Step => ({ do: 'run-process', name });
  const end = (name: string): Step => ({ do: 'end-process', name });

  test.each(Object.keys(BACKENDS) as (keyof typeof BACKENDS)[])(
    'runs on %s, beside the kernel’s work and after it, on any processor',
    (backend) => {
      const steps: Step[] = [
        { do: 'load-module', name: 'm', text: 6 },
        { do: 'unload-module', name: 'm' },
        start('p'),
        run('p'),
        { do: 'save-and-restore' },
        { ...start('q'), cpu: 1 } as Step,
        { ...run('p'), cpu: 1 } as Step,
        end('p'),
        { do: 'load-module', name: 'n' },
        run('q'),
        end('q'),
      ];
      const unexpected = live(steps, {}, backend).filter(({ verdict }) => verdict !== 'works');
      expect(unexpected).toEqual([]);
    },
  );

  test('is what the rights of pages are expected of, whose code the kernel may not execute', () => {
    const scenario = {
      machine: { memory: '64MiB' },
      steps: [start('p'), run('p')],
      expectRights: [
        ...['text', 'data', 'jit'].map((part) => ({ of: `process p ${part}`, grants: 'rw-' })),
        { of: 'user processes', never: 'wx' as const },
        { of: 'process p stack', grants: 'rw-' },
      ],
    };
    const { expectedRights } = runScenario(createScenarioMachine(scenario, ON_KVM), scenario);
    expect(expectedRights.map(({ expected }) => expected)).toEqual([true, true, true, true, false]);
    expect(expectedRights.at(-1)?.reason).toContain('process p text, process p data, process p jit');
  });

  test('is killed, and not the kernel, where the hypervisor withholds from its pages what they once were', () => {
    const scenario = { machine: { memory: '64MiB' }, steps: [] };
    const machine = createScenarioMachine(scenario, ON_KVM);
    const life = beginLife(machine);
    expect(machine.kernel.boot().kind).toBe('done');
    expect(runSteps(life, [start('p'), run('p')]).map(({ verdict }) => verdict)).toEqual(['works', 'works']);
    const process = life.processes.get('p');
    const [frame] = framesBehind(
      machine,
      process?.areas.data.address ?? (0n as VirtualAddress),
      1,
      process?.pageTableRoot,
    );
    if (frame === undefined) throw new Error('no frame');
    machine.virtualMachine.protect([
      {
        start: frame,
        end: (frame + 1) as Gfn,
        rights: { read: true, write: false, supervisorExecute: false, userExecute: false },
      },
    ]);
    machine.virtualMachine.flush();
    expect(runSteps(life, [run('p')])).toMatchObject([
      {
        verdict: 'error',
        reason: expect.stringContaining('its store at 0x402000 is its last: exception 14, error code 0x3'),
      },
    ]);
    expect(runSteps(life, [run('p')])).toMatchObject([{ verdict: 'error', reason: '-3: no process 1' }]);
  });

  test('that was not started, and whose start failed', () => {
    expect(live([run('p')])).toMatchObject([{ verdict: 'invalid' }]);
    const steps: Step[] = [
      { do: 'exhaust-memory', leave: 3 },
      start('p'),
      { do: 'release-memory' },
      run('p'),
    ];
    expect(verdicts(live(steps))).toEqual(['works', 'error', 'works', 'error']);
  });
});
