import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import {
  defectFault,
  type HypervisorSettings,
  hypervisorSettings,
  type MachineSpecification,
  machineDefects,
  machineSettings,
  SECURE_KERNELS,
  type SecureKernel,
  snapshotDefects,
} from '@heki/machine';
import type { Defects } from '@heki/series';
import type { CpuProfile } from '@heki/x86';
import { cpuNamed } from './assumed-processor.ts';
import { UsageError } from './failure.ts';
import { HYPERVISORS, hypervisorNamed, makesKvmHypercalls } from './hypervisors.ts';
import type { MachineFlags } from './machine-flags.ts';
import { memoryOption } from './memory-option.ts';

/** The machine that a command's options ask for. @throws {UsageError} for a name or an amount that there is none of */
export function specificationOf(flags: MachineFlags): MachineSpecification {
  const { memory, hypervisor, cpu } = flags;
  return {
    memory: memory === undefined ? undefined : memoryOption(memory),
    kernel: flags.kernel,
    vcpus: flags.vcpus,
    levels: flags.levels,
    kaslrSeed: flags.kaslrSeed,
    commandLine: flags.cmdline,
    hypervisor: hypervisor === undefined ? undefined : hypervisorNamed(hypervisor),
    secureKernel: secureKernelNamed(flags.secureKernel),
    profile: flags.profile,
    defects: flags.defect,
    mbec: flags.mbec === false ? false : undefined,
    cpu: cpu === undefined ? undefined : cpuNamed(cpu).name,
  };
}

function secureKernelNamed(name: string | undefined): SecureKernel | undefined {
  const known = SECURE_KERNELS.find((one) => one === name);
  if (name !== undefined && known === undefined)
    throw new UsageError(`--secure-kernel ${name}: expected one of ${SECURE_KERNELS.join(', ')}`);
  return known;
}

/**
 * The hypervisor of a specification.
 *
 * @param trusted what a secure kernel that looks at signatures lets run
 * @param snapshot the processor of a snapshot, in place of the specification's
 * @throws {UsageError} when it has no such hypervisor, processor or defect
 */
export function hypervisorOf(
  specification: MachineSpecification,
  trusted: HypervisorSettings['trusted'],
  snapshot?: CpuProfile,
): Hypervisor<VirtualMachine, BackendEvent> {
  const settings = hypervisorSettings(specification, trusted, snapshot);
  return createHypervisor(specification, settings, snapshot === undefined ? machineDefects : snapshotDefects);
}

/** The hypervisor of a specification, made of `settings`. @throws {UsageError} when it does not have what is asked for */
export function createHypervisor(
  specification: MachineSpecification,
  settings: HypervisorSettings,
  ofGuest: Defects = machineDefects,
): Hypervisor<VirtualMachine, BackendEvent> {
  const { defects, hypervisor } = machineSettings(specification);
  const name = hypervisorNamed(hypervisor);
  if (specification.secureKernel !== undefined && !name.startsWith('hyperv')) {
    throw new UsageError(`--secure-kernel: ${name} has none, expected --hypervisor hyperv or hyperv-lvbs`);
  }
  if (Object.hasOwn(defects, 'B-G19') && !makesKvmHypercalls(name)) {
    throw new UsageError(`defect B-G19: it is of KVM's driver in the guest, which ${name} does not use`);
  }
  const made = HYPERVISORS[name].create(settings);
  const fault = defectFault(defects, { name, defects: made.defects }, ofGuest);
  if (fault !== undefined) throw new UsageError(fault);
  return made;
}
