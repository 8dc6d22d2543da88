import type { BackendEvent, ExecuteSplit, VirtualMachine } from '@heki/hypervisor';
import type { LinuxMachine, MachineSpecification } from '@heki/machine';
import { type ComposedScenario, createScenarioMachine, type ScenarioMachineOptions } from '@heki/scenario';
import type { Backend } from '../backend.ts';
import { createHypervisor, hypervisorOf } from '../specification.ts';

/**
 * The machine of a scenario on the hypervisor that it names, which is `backend`.
 *
 * @throws {UsageError} for an unknown processor or defect
 */
export function createBootMachine(
  scenario: ComposedScenario,
  backend: Backend,
  options: Omit<ScenarioMachineOptions<VirtualMachine, BackendEvent>, 'hypervisor' | 'driver'> = {},
): LinuxMachine {
  const { machine } = scenario;
  return createScenarioMachine(scenario, {
    ...options,
    hypervisor: (settings) => createHypervisor(backend, machine, settings),
    driver: backend.driver,
  });
}

/** What every processor can do without mode-based execute control. */
const WITHOUT_MBEC: ReadonlySet<ExecuteSplit> = new Set(['never-denied', 'none']);

/** Whether the hypervisor can take execution from the kernel alone, as mode-based execute control allows it. */
export function withholdsExecution(backend: Backend, specification: MachineSpecification): boolean {
  const { capabilities } = hypervisorOf(backend, specification, {});
  return !WITHOUT_MBEC.has(capabilities.executeSplit);
}
