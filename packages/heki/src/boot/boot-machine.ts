import type { BackendEvent, ExecuteSplit, VirtualMachine } from '@heki/hypervisor';
import { type LinuxMachine, type MachineSpecification, machineSettings } from '@heki/machine';
import { type ComposedScenario, createScenarioMachine, type ScenarioMachineOptions } from '@heki/scenario';
import { HYPERVISORS, hypervisorNamed } from '../hypervisors.ts';
import { createHypervisor, hypervisorOf } from '../specification.ts';

/**
 * The machine of a scenario on the hypervisor that it names.
 *
 * @throws {UsageError} for a hypervisor, a processor or a defect that there is none of
 */
export function createBootMachine(
  scenario: ComposedScenario,
  options: Omit<ScenarioMachineOptions<VirtualMachine, BackendEvent>, 'hypervisor' | 'driver'> = {},
): LinuxMachine {
  const { machine } = scenario;
  const { driver } = HYPERVISORS[hypervisorNamed(machineSettings(machine).hypervisor)];
  return createScenarioMachine(scenario, {
    ...options,
    hypervisor: (settings) => createHypervisor(machine, settings),
    driver,
  });
}

/** What every processor can do without mode-based execute control. */
const WITHOUT_MBEC: ReadonlySet<ExecuteSplit> = new Set(['never-denied', 'none']);

/** Whether the hypervisor can take execution from the kernel alone, as mode-based execute control allows it. */
export function withholdsExecution(specification: MachineSpecification): boolean {
  const { capabilities } = hypervisorOf(specification, {});
  return !WITHOUT_MBEC.has(capabilities.executeSplit);
}
