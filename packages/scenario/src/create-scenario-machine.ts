import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { KernelProfile } from '@heki/linux';
import {
  createLinuxMachine,
  createSigningAuthority,
  describeTraceEvent,
  type HekiDriver,
  type LinuxMachine,
  pcMemoryMap,
  type SigningAuthority,
  type TraceEvent,
} from '@heki/machine';
import { CPU_PROFILES, type CpuProfile, CR4, INTEL_VT_RP } from '@heki/x86';
import { ScenarioError } from './error.ts';
import type { ComposedScenario } from './load-scenario.ts';
import { type MachineSettings, machineSettings } from './machine-settings.ts';
import { memoryBytes } from './memory-size.ts';
import { KERNEL_JUMP_LABELS } from './run-step.ts';

/** What a scenario says of the hypervisor, in the terms of the backends' own options. */
export interface HypervisorSettings extends Pick<MachineSettings, 'profile' | 'mbec'> {
  /** What MBEC is called on AMD. */
  readonly gmet: boolean;
  readonly processor: CpuProfile;
  readonly trusted: SigningAuthority['signed'];
}

/** What a scenario does not say of its machine. */
export interface ScenarioMachineOptions<VM extends VirtualMachine, Event extends BackendEvent> {
  /**
   * Makes the backend: `createKvm`, or what the caller has for the name of the hypervisor in the specification. A secure kernel that looks at
   * signatures trusts `trusted`: the modules of the scenario that are signed.
   */
  readonly hypervisor: (settings: HypervisorSettings) => Hypervisor<VM, Event>;
  /** The driver in the guest kernel. Default KVM's; none in a scenario whose hypervisor is `none`. */
  readonly driver?: HekiDriver | undefined;
  /** The image of a kernel that the specification names by a file. */
  readonly kernel?: KernelProfile;
  /** Report every access and instruction of the virtual CPUs, too. Default false. */
  readonly processorEvents?: boolean;
  /** Called for what happens, in order; `describe` gives the event as one line. */
  readonly onEvent?: (event: TraceEvent<Event>, describe: () => string) => void;
}

/**
 * The machine that a scenario is about, with a kernel that has not booted yet.
 *
 * @throws {ScenarioError} when the scenario names a kernel and `kernel` does not hold its image, or levels that its processor lacks
 */
export function createScenarioMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  scenario: ComposedScenario,
  options: ScenarioMachineOptions<VM, Event>,
): LinuxMachine<VM> {
  const settings = machineSettings(scenario.machine);
  const { profile, mbec, memory, commandLine, levels, vcpus, pluggable, kaslrSeed } = settings;
  const { kernel, onEvent, processorEvents = false } = options;
  if (settings.kernel !== undefined && kernel === undefined) {
    throw new ScenarioError(`kernel ${settings.kernel}: expected its profile among the options`);
  }
  const processor = CPU_PROFILES.find(({ name }) => name === settings.cpu) ?? INTEL_VT_RP;
  if (levels === 5 && (processor.cr4 & CR4.LA57) === 0n) {
    throw new ScenarioError(`levels 5: the processor ${processor.name} has no 5-level paging, expected 4`);
  }
  const authority = createSigningAuthority();
  const hypervisor = options.hypervisor({
    profile,
    mbec,
    gmet: mbec,
    processor,
    trusted: authority.signed,
  });
  const driver = 'driver' in options ? { driver: options.driver } : {};
  return createLinuxMachine({
    hypervisor,
    memoryMap: pcMemoryMap(memoryBytes(memory)),
    jumpLabels: KERNEL_JUMP_LABELS,
    presentSignature: authority.sign,
    ...{ profile, commandLine, levels, vcpus, pluggable, processorEvents },
    ...(settings.hypervisor === 'none' ? { driver: undefined } : driver),
    attackable: [...(scenario.initcalls ?? []), ...scenario.steps].some((step) => step.do === 'attack'),
    ...(kernel === undefined ? {} : { kernel }),
    ...(kaslrSeed === undefined ? {} : { kaslrSeed }),
    ...(onEvent === undefined
      ? {}
      : {
          onEvent: (event: TraceEvent<Event>) => onEvent(event, () => describeTraceEvent(hypervisor, event)),
        }),
  });
}
