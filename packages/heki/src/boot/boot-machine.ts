import type { BackendEvent, ExecuteSplit, VirtualMachine } from '@heki/hypervisor';
import type { LinuxMachine } from '@heki/machine';
import {
  type ComposedScenario,
  createScenarioMachine,
  type MachineSettings,
  machineSettings,
  type ScenarioMachineOptions,
} from '@heki/scenario';
import { cpuNamed } from '../assumed-processor.ts';
import { HYPERVISORS, hypervisorNamed } from '../hypervisors.ts';

/**
 * The machine of a scenario on the hypervisor that it names.
 *
 * @throws {UsageError} for a hypervisor that there is none of
 */
export function createBootMachine(
  scenario: ComposedScenario,
  options: Omit<ScenarioMachineOptions<VirtualMachine, BackendEvent>, 'hypervisor' | 'driver'> = {},
): LinuxMachine {
  const { create, driver } = HYPERVISORS[hypervisorNamed(machineSettings(scenario.machine).hypervisor)];
  return createScenarioMachine(scenario, { ...options, hypervisor: create, driver });
}

/** What every processor can do without mode-based execute control. */
const WITHOUT_MBEC: ReadonlySet<ExecuteSplit> = new Set(['never-denied', 'none']);

/** Whether the hypervisor can take execution from the kernel alone, as mode-based execute control allows it. */
export function withholdsExecution({ hypervisor, profile, mbec, cpu }: MachineSettings): boolean {
  const processor = cpuNamed(cpu);
  const { capabilities } = HYPERVISORS[hypervisorNamed(hypervisor)].create({ profile, mbec, processor });
  return !WITHOUT_MBEC.has(capabilities.executeSplit);
}
