import type { Gpa } from '@heki/physical-memory';
import type { HypervisorEvent } from '../../event.ts';
import type { Hypervisor } from '../../virtual-machine.ts';
import type { ReferenceMachine } from './reference-machine.ts';
import type { ReferenceSetup } from './reference-setup.ts';

type Reference = Hypervisor<ReferenceMachine, HypervisorEvent>;

function changed(setup: ReferenceSetup, change: (hypervisor: Reference) => Reference): ReferenceSetup {
  const { hypervisor, deciding } = setup;
  return {
    ...setup,
    hypervisor: change(hypervisor),
    deciding: deciding && ((verdict) => change(deciding(verdict))),
  };
}

/** The same with machines that do some things in another way. */
export function withMachine(
  setup: ReferenceSetup,
  change: (vm: ReferenceMachine) => Partial<ReferenceMachine>,
): ReferenceSetup {
  return changed(setup, (hypervisor) => ({
    ...hypervisor,
    createVirtualMachine(options) {
      const vm = hypervisor.createVirtualMachine(options);
      return { ...vm, ...change(vm) };
    },
  }));
}

/** The same with other events. */
export function withEvents(
  setup: ReferenceSetup,
  change: (event: HypervisorEvent) => readonly HypervisorEvent[],
): ReferenceSetup {
  return changed(setup, (hypervisor) => ({
    ...hypervisor,
    createVirtualMachine: ({ onEvent, ...options }) =>
      hypervisor.createVirtualMachine({
        ...options,
        onEvent: (event) => {
          for (const each of change(event)) onEvent?.(each);
        },
      }),
  }));
}

/** The same with other denials. */
export function withDenials(
  setup: ReferenceSetup,
  change: (event: Extract<HypervisorEvent, { type: 'denied' }>) => readonly HypervisorEvent[],
): ReferenceSetup {
  return withEvents(setup, (event) => (event.type === 'denied' ? change(event) : [event]));
}

/** The same with machines that do something more when an access was denied. */
export function whenDenied(
  setup: ReferenceSetup,
  then: (vm: ReferenceMachine, gpa: Gpa) => void,
): ReferenceSetup {
  return changed(setup, (hypervisor) => ({
    ...hypervisor,
    createVirtualMachine({ onEvent, ...options }) {
      const vm: ReferenceMachine = hypervisor.createVirtualMachine({
        ...options,
        onEvent(event) {
          onEvent?.(event);
          if (event.type === 'denied' && event.denial.kind === 'memory') then(vm, event.denial.gpa);
        },
      });
      return vm;
    },
  }));
}
