import { beginLife, runSteps, runWorkload, WORKLOADS } from '@heki/scenario';
import { createBootMachine } from '../boot/boot-machine.ts';
import type { HypervisorName } from '../hypervisors.ts';

/** What a stretch of a kernel's life costs, in events on its virtual CPU. */
export interface BackendCost {
  /** Hypercalls that the kernel executes. */
  readonly calls: number;
  /** Exits to the hypervisor, hypercalls included. */
  readonly exits: number;
  /** Times that cached translations are dropped for the hypervisor. */
  readonly flushes: number;
  /** Times that the hypervisor has to ask whoever owns the policy, and the guest waits for the answer. */
  readonly asked: number;
}

/** Events of the backends by which an owner of the policy is asked: exits to the VMM, entries of VTL1, requests in Xen's ring. */
const ASKING: ReadonlySet<string> = new Set(['user-exit', 'vtl-entered', 'vm-event']);

/** The costs of a boot and of loading one module, and what became of them. `onProgress` is called once. */
export function measureBackend(
  name: HypervisorName,
  onProgress: () => void,
): {
  readonly boot: BackendCost;
  readonly moduleLoad: BackendCost;
  readonly protected: boolean;
  readonly moduleLoads: boolean;
} {
  const count = { calls: 0, exits: 0, flushes: 0, asked: 0 };
  const machine = createBootMachine(
    { machine: { hypervisor: name, memory: '128MiB' }, steps: [] },
    {
      processorEvents: true,
      onEvent({ from, event }) {
        if (from === 'hypervisor' && ASKING.has(event.type)) count.asked++;
        if (from !== 'vcpu') return;
        if (event.type === 'exit') {
          count.exits++;
          if (event.exit.reason === 'hypercall') count.calls++;
        }
        if (event.type === 'flush' && (event.cause === 'invept' || event.cause === 'invvpid'))
          count.flushes++;
      },
    },
  );
  const booted = machine.kernel.boot().kind === 'done';
  const boot = { ...count };
  const [load] = runSteps(beginLife(machine), [{ do: 'load-module', name: 'm', staticCalls: 4 }]);
  onProgress();
  return {
    boot,
    moduleLoad: {
      calls: count.calls - boot.calls,
      exits: count.exits - boot.exits,
      flushes: count.flushes - boot.flushes,
      asked: count.asked - boot.asked,
    },
    protected: booted && machine.heki.protectsMemory,
    moduleLoads: load?.verdict === 'works',
  };
}

/** What becomes of each legitimate work there. `onProgress` is called for each. */
export function workOn(hypervisor: HypervisorName, onProgress: () => void): ReadonlyMap<string, string> {
  const setting = { name: hypervisor, machine: { hypervisor, memory: '128MiB' } };
  return new Map(
    WORKLOADS.map((workload) => {
      const { verdict } = runWorkload(workload, setting, (scenario) => createBootMachine(scenario));
      onProgress();
      return [workload.name, verdict];
    }),
  );
}
