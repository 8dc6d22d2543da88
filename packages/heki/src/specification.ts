import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import {
  defectFault,
  type HypervisorSettings,
  hypervisorSettings,
  type MachineSpecification,
  machineDefects,
  machineSettings,
  snapshotDefects,
} from '@heki/machine';
import type { Defects } from '@heki/series';
import { CPU_PROFILES, type CpuProfile } from '@heki/x86';
import type { Backend } from './backend.ts';
import { SpecificationError } from './failure.ts';
import { makesKvmHypercalls } from './hypervisors.ts';

/**
 * The hypervisor of a specification.
 *
 * @param backend that which the specification names
 * @param trusted what a secure kernel that looks at signatures lets run
 * @param snapshot the processor of a snapshot, in place of the specification's
 * @throws {UsageError} when it has no such processor or defect
 */
export function hypervisorOf(
  backend: Backend,
  specification: MachineSpecification,
  trusted: HypervisorSettings['trusted'],
  snapshot?: CpuProfile,
): Hypervisor<VirtualMachine, BackendEvent> {
  const settings = hypervisorSettings(specification, trusted, snapshot);
  const ofGuest = snapshot === undefined ? machineDefects : snapshotDefects;
  return createHypervisor(backend, specification, settings, ofGuest);
}

/** Hyper-V's VTL1 runs one. */
function hasSecureKernel({ name, module }: Backend): boolean {
  return module === undefined && name.startsWith('hyperv');
}

/** @throws {UsageError} where no HLAT can be had */
function checkHlat({ name }: Backend, processor: CpuProfile): void {
  if (name !== 'kvm') {
    throw new SpecificationError(`--hlat: ${name} has none, expected --hypervisor kvm`, ['hlat']);
  }
  if (processor.ept?.hlat !== true) {
    const others = CPU_PROFILES.filter(({ ept }) => ept?.hlat === true).map((one) => one.name);
    throw new SpecificationError(
      `--hlat: the processor ${processor.name} has none, expected --cpu ${others.join(', ')}`,
      ['hlat'],
    );
  }
}

/** @throws {UsageError} where the kernel's code cannot have an owner */
function checkAuthenticate({ name }: Backend, { mbec, processor }: HypervisorSettings): void {
  if (name !== 'kvm') {
    throw new SpecificationError(
      `--authenticate: with ${name} the kernel's code cannot have an owner, expected --hypervisor kvm`,
      ['authenticate'],
    );
  }
  if (!mbec || !(processor.ept?.modeBasedExecute === true || processor.npt?.gmet === true)) {
    throw new SpecificationError(
      `--authenticate: execution cannot be withheld from the kernel alone on ${processor.name} without mode-based execute control or GMET`,
      ['authenticate'],
    );
  }
}

/** The hypervisor of a specification, made of `settings`. @throws {UsageError} when it does not have what is asked for */
export function createHypervisor(
  backend: Backend,
  specification: MachineSpecification,
  settings: HypervisorSettings,
  ofGuest: Defects = machineDefects,
): Hypervisor<VirtualMachine, BackendEvent> {
  const { defects } = machineSettings(specification);
  const { name } = backend;
  if (specification.secureKernel !== undefined && !hasSecureKernel(backend)) {
    throw new SpecificationError(
      `--secure-kernel: ${name} has none, expected --hypervisor hyperv or hyperv-lvbs`,
      ['secureKernel'],
    );
  }
  if (Object.hasOwn(defects, 'B-G19') && !makesKvmHypercalls(backend)) {
    throw new SpecificationError(
      `defect B-G19: it is of KVM's driver in the guest, which ${name} does not use`,
      ['defects', 'B-G19'],
    );
  }
  if (settings.hlat) checkHlat(backend, settings.processor);
  if (settings.authenticate !== undefined) checkAuthenticate(backend, settings);
  const made = backend.create(settings);
  for (const [id, on] of Object.entries(defects)) {
    const fault = defectFault({ [id]: on }, { name, defects: made.defects }, ofGuest);
    if (fault !== undefined) throw new SpecificationError(fault, ['defects', id]);
  }
  return made;
}
