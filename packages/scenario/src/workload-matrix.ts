import { joinSpecifications, type LinuxMachine, type MachineSpecification } from '@heki/machine';
import type { ComposedScenario } from './composed-scenario.ts';
import { isInForce } from './in-force.ts';
import { runScenario } from './run-scenario.ts';
import type { Workload } from './workloads.ts';

/** What work is run over. */
export interface WorkloadSetting {
  readonly name: string;
  readonly machine: MachineSpecification;
}

/** The settings that show what protection does to legitimate work. */
export const WORKLOAD_SETTINGS: readonly WorkloadSetting[] = [
  { name: 'no Heki', machine: { hypervisor: 'none' } },
  { name: 'rfc-v2', machine: { profile: 'rfc-v2' } },
  { name: 'rfc-v2, no MBEC', machine: { profile: 'rfc-v2', mbec: false } },
  { name: 'hardened', machine: { profile: 'hardened' } },
  { name: 'hardened, no MBEC', machine: { profile: 'hardened', mbec: false } },
];

/** What became of work in one setting. */
export interface WorkloadOutcome {
  /** `refused`: a function of the kernel returned an error, and the kernel goes on. `breaks`: it does not. */
  readonly verdict: 'works' | 'refused' | 'breaks';
  /** The step that did not work, and why. */
  readonly reason: string | undefined;
  /** Pages that the kernel may write and execute in the end, though no mapping allows both. */
  readonly writableAndExecutable: number;
  /** Pages that are granted what no mapping allows, though the hypervisor could withhold it, where Heki is in force; otherwise 0. */
  readonly beyondMappings: number;
}

/**
 * Runs `workload` in `setting`.
 *
 * @param create makes the machine; what the specification leaves open is the caller's choice
 */
export function runWorkload(
  workload: Workload,
  setting: WorkloadSetting,
  create: (scenario: ComposedScenario) => LinuxMachine,
): WorkloadOutcome {
  const scenario = { ...workload, machine: joinSpecifications(workload.machine, setting.machine) };
  const machine = create(scenario);
  const { boot, bootReason, steps, classes, rights } = runScenario(machine, scenario);
  const failed = steps.find(({ expected }) => !expected);
  const pages = {
    writableAndExecutable: classes.reduce((sum, { writableAndExecutable: n }) => sum + n, 0),
    beyondMappings: isInForce(machine)
      ? (rights?.beyond ?? []).reduce((sum, { start, end }) => sum + end - start, 0)
      : 0,
  };
  if (boot !== 'works') return { verdict: 'breaks', reason: `boot: ${bootReason}`, ...pages };
  if (failed === undefined) return { verdict: 'works', reason: undefined, ...pages };
  return {
    verdict: failed.verdict === 'error' ? 'refused' : 'breaks',
    reason: `${failed.step.do}: ${failed.reason}`,
    ...pages,
  };
}
