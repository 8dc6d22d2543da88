import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { DEBIAN_6_1, type KernelBuild } from '@heki/linux';
import {
  type CodeSigner,
  createLinuxMachine,
  createSigningAuthority,
  describeTraceEvent,
  type HekiDriver,
  type HypervisorSettings,
  hypervisorSettings,
  type LinuxMachine,
  MachineError,
  machineSettings,
  memoryBytes,
  pcMemoryMap,
  type TraceEvent,
} from '@heki/machine';
import { CR4 } from '@heki/x86';
import type { ComposedScenario } from './composed-scenario.ts';
import { ScenarioError } from './error.ts';
import { KERNEL_JUMP_LABELS } from './run-step.ts';

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
  readonly kernel?: KernelBuild | undefined;
  /**
   * Makes who signs the kernel and its modules, where the specification has an owner of the code: `createCodeSigner` of `@heki/machine/code-signer`. It is an
   * option for its arithmetic, which takes time to load and which other machines have no use for.
   */
  readonly codeSigner?: ((kernel: KernelBuild) => CodeSigner) | undefined;
  /** Report every access and instruction of the virtual CPUs, too. Default false. */
  readonly processorEvents?: boolean;
  /** Called for what happens, in order; `describe` gives the event as one line. */
  readonly onEvent?: ((event: TraceEvent<Event>, describe: () => string) => void) | undefined;
}

/**
 * The machine that a scenario is about, with a kernel that has not booted yet.
 *
 * @throws {ScenarioError} when the scenario names a kernel and `kernel` does not hold its image, or its code has an owner and `codeSigner` is missing
 * @throws {MachineError} when it names an unknown processor, levels that it lacks, or a defect that the guest and the hypervisor do not have
 */
export function createScenarioMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  scenario: ComposedScenario,
  options: ScenarioMachineOptions<VM, Event>,
): LinuxMachine<VM> {
  const { machine } = scenario;
  const settings = machineSettings(machine);
  const { kernel, onEvent, processorEvents = false } = options;
  if (settings.kernel !== undefined && kernel === undefined) {
    throw new ScenarioError(`kernel ${settings.kernel}: expected its build among the options`);
  }
  if (settings.authenticate && options.codeSigner === undefined) {
    throw new ScenarioError('authenticate: expected who signs the code among the options, as codeSigner');
  }
  const authority = createSigningAuthority();
  const codeSigner = settings.authenticate ? options.codeSigner?.(kernel ?? DEBIAN_6_1) : undefined;
  const forHypervisor = hypervisorSettings(machine, authority.signed, undefined, codeSigner?.code);
  const { processor } = forHypervisor;
  if (settings.levels === 5 && (processor.cr4 & CR4.LA57) === 0n) {
    throw new MachineError(`levels 5: the processor ${processor.name} has no 5-level paging, expected 4`, [
      'levels',
    ]);
  }
  const hypervisor = options.hypervisor(forHypervisor);
  const driver = 'driver' in options ? { driver: options.driver } : {};
  const steps = [...(scenario.initcalls ?? []), ...scenario.steps];
  return createLinuxMachine({
    ...machine,
    hypervisor,
    kernel,
    memoryMap: pcMemoryMap(memoryBytes(settings.memory)),
    jumpLabels: KERNEL_JUMP_LABELS,
    presentSignature: authority.sign,
    codeSigner,
    processorEvents,
    ...(settings.hypervisor === 'none' ? { driver: undefined } : driver),
    attackable: steps.some((step) => 'how' in step),
    interleaved: steps.some((step) => step.do === 'race'),
    onEvent:
      onEvent && ((event: TraceEvent<Event>) => onEvent(event, () => describeTraceEvent(hypervisor, event))),
  });
}
