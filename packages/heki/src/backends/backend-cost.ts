import {
  beginLife,
  createEventCounter,
  type EventCount,
  runSteps,
  runWorkload,
  WORKLOADS,
} from '@heki/scenario';
import type { Backend } from '../backend.ts';
import { createBootMachine } from '../boot/boot-machine.ts';

/** The costs of a boot and of loading one module, and what became of them. `onProgress` is called once. */
export function measureBackend(
  backend: Backend,
  cpu: string,
  onProgress: () => void,
): {
  readonly boot: EventCount;
  readonly moduleLoad: EventCount;
  readonly protected: boolean;
  readonly moduleLoads: boolean;
} {
  const { onEvent, take } = createEventCounter();
  const machine = createBootMachine(
    { machine: { hypervisor: backend.name, cpu, memory: '128MiB' }, steps: [] },
    backend,
    { processorEvents: true, onEvent },
  );
  const booted = machine.kernel.boot().kind === 'done';
  const boot = take();
  const [load] = runSteps(beginLife(machine), [{ do: 'load-module', name: 'm', staticCalls: 4 }]);
  onProgress();
  return {
    boot,
    moduleLoad: take(),
    protected: booted && machine.heki.protectsMemory,
    moduleLoads: load?.verdict === 'works',
  };
}

/** What becomes of each legitimate work there. `onProgress` is called for each. */
export function workOn(backend: Backend, cpu: string, onProgress: () => void): ReadonlyMap<string, string> {
  const { name } = backend;
  const setting = { name, machine: { hypervisor: name, cpu, memory: '128MiB' } };
  return new Map(
    WORKLOADS.map((workload) => {
      const { verdict } = runWorkload(workload, setting, (scenario) => createBootMachine(scenario, backend));
      onProgress();
      return [workload.name, verdict];
    }),
  );
}
