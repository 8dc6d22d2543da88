import type { MachineSpecification } from '@heki/machine';
import { createCodeSigner } from '@heki/machine/code-signer';
import { beginLife, runSteps, runWorkload, type Step, WORKLOADS } from '@heki/scenario';
import { describe, expect, test } from 'vitest';
import { HYPERVISORS } from '../hypervisors.ts';
import { runCommand } from '../testing/run-command.ts';
import { createBootMachine } from './boot-machine.ts';

/** All work that is refused where code has an owner: docs/authenticated-code.md says why. */
const REFUSED = ['kprobe-module'];

/** A kernel with sealed code that has booted, and its life. */
function booted(specification: MachineSpecification = {}) {
  const requests: string[] = [];
  const machine = createBootMachine(
    { machine: { memory: '64MiB', authenticate: true, ...specification }, steps: [] },
    HYPERVISORS.kvm,
    {
      codeSigner: createCodeSigner,
      onEvent({ event }, describe) {
        if (event.type === 'code-request') requests.push(describe().split(': ')[1] ?? '');
      },
    },
  );
  expect(machine.kernel.boot().kind).toBe('done');
  const life = beginLife(machine);
  const take = (...steps: Step[]) => runSteps(life, steps).map(({ verdict, reason }) => reason ?? verdict);
  return { machine, take, requests };
}

describe('a kernel with sealed code', () => {
  test('is sealed at the end of late init', () => {
    const { machine, requests } = booted({ vcpus: 2, kaslrSeed: 5 });
    expect(machine.kernel.hekiInit).toMatchObject({ late: { outcome: 'protected' }, seal: 1 });
    expect(requests).toEqual(['seal = 1']);
  });

  test('does what a kernel does: patches, modules, processors, memory, and in the end another kernel', () => {
    const { take } = booted({ vcpus: 2, pluggable: 1 });
    const work = WORKLOADS.filter(({ name }) => !REFUSED.includes(name)).sort(
      (a, b) => Number(a.name === 'kexec') - Number(b.name === 'kexec'),
    );
    const steps = work.flatMap((one) => one.steps);
    expect(work).toHaveLength(WORKLOADS.length - REFUSED.length);
    expect(take(...steps)).toEqual(steps.map(() => 'works'));
  });

  test.each(REFUSED)('refuses %s, and goes on', (name) => {
    const workload = WORKLOADS.find((one) => one.name === name) ?? expect.fail('no such work');
    const setting = { name: 'authenticated', machine: { authenticate: true } };
    const outcome = runWorkload(workload, setting, (scenario) =>
      createBootMachine(scenario, HYPERVISORS.kvm, { codeSigner: createCodeSigner }),
    );
    expect(outcome).toMatchObject({ verdict: 'refused', reason: expect.stringMatching(/: -(1|95): /) });
  });

  test('keeps programs that boot has compiled: the owner judges them when it has sealed', () => {
    const workload = WORKLOADS.find(({ name }) => name === 'jit-boot-pack') ?? expect.fail('no such work');
    const setting = { name: 'authenticated', machine: { authenticate: true } };
    const outcome = runWorkload(workload, setting, (scenario) =>
      createBootMachine(scenario, HYPERVISORS.kvm, { codeSigner: createCodeSigner }),
    );
    expect(outcome.verdict).toBe('works');
  });

  test('asks once for all the sites of a change, and by numbers alone', () => {
    const { take, requests } = booted();
    take({ do: 'trace', on: 'kernel', functions: 60 }, { do: 'untrace' });
    expect(requests.slice(1)).toEqual(['poke = 0', 'poke = 0']);
  });

  test('loads no module that nobody signed, and leaves nothing of it', () => {
    const { machine, take, requests } = booted();
    // Page tables of the areas stay.
    take({ do: 'churn-modules', count: 1 });
    const free = machine.kernel.freeFrames;
    const [reason] = take({ do: 'load-module', name: 'evil', signed: false });
    expect(reason).toContain('-129: the owner of the code refuses module evil');
    expect(machine.kernel.freeFrames).toBe(free);
    expect(requests.at(-1)).toBe('load = -129');
  });

  test('unloads a module, whose pages are data again', () => {
    const { machine, take, requests } = booted();
    take({ do: 'load-module', name: 'm', staticCalls: 3 });
    const free = machine.kernel.freeFrames;
    expect(take({ do: 'trace', on: 'm' }, { do: 'untrace' }, { do: 'unload-module', name: 'm' })).toEqual([
      'works',
      'works',
      'works',
    ]);
    expect(machine.kernel.freeFrames).toBeGreaterThan(free);
    expect(requests).toEqual([
      'seal = 1',
      'load = 2',
      'poke = 0',
      'poke = 0',
      'poke = 0',
      'retire = 0',
      'poke = 0',
      'poke = 0',
      'retire = 0',
    ]);
  });

  test('refuses what has no state: probes within functions, and optimised ones', () => {
    const { kernel } = booted().machine;
    const text = kernel.address('_text');
    expect(kernel.registerKprobe((text + 9n) as typeof text)).toMatchObject({ errno: -95 });
    expect(kernel.registerKprobe(text, { optimized: true })).toMatchObject({ errno: -95 });
    expect(kernel.textPoke((text + 9n) as typeof text, Uint8Array.of(0x90))).toMatchObject({ errno: -1 });
  });

  test('takes compiled programs that its grammar allows, and gives their slots back', () => {
    const { machine, take, requests } = booted();
    expect(take({ do: 'load-bpf', name: 'filter' }, { do: 'unload-bpf', name: 'filter' })).toEqual([
      'works',
      'works',
    ]);
    expect(requests.slice(1)).toEqual(['jit = 2', 'jit = 0', 'jit = 0', 'retire = 0']);
    // A system call, in what is otherwise one.
    const { kernel } = machine;
    const bad = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0x0f, 0x05, 0xc9, 0xc3);
    expect(kernel.loadBpfProgram(bad)).toMatchObject({ errno: -13 });
  });
});

test.each([
  [['--hypervisor', 'xen'], "--authenticate: with xen the kernel's code cannot have an owner"],
  [['--no-mbec'], '--authenticate: execution cannot be withheld'],
])('`heki boot --authenticate %s` is called wrongly', async (flags, message) => {
  const { exitCode, stderr } = await runCommand(['boot', '--authenticate', ...flags]);
  expect([exitCode, stderr.includes(message)]).toEqual([2, true]);
});
