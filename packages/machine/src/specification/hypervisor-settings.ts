import type { CpuProfile } from '@heki/x86';
import type { SigningAuthority } from '../linux/signing-authority.ts';
import { type MachineSettings, type MachineSpecification, machineSettings } from './machine-specification.ts';
import { processorOf } from './processor.ts';

/** The part of a specification that a hypervisor is made of, in the terms of the backends' own options. */
export interface HypervisorSettings
  extends Pick<MachineSettings, 'profile' | 'defects' | 'mbec' | 'iommu' | 'hlat' | 'secureKernel'> {
  /** What MBEC is called on AMD. */
  readonly gmet: boolean;
  readonly processor: CpuProfile;
  /** What a secure kernel that looks at signatures lets run. */
  readonly trusted: Partial<SigningAuthority['signed']>;
}

/**
 * What a specification says of its hypervisor.
 *
 * @param processor in place of the one that the specification names, where a snapshot decides
 * @throws {MachineError} for an unknown processor
 */
export function hypervisorSettings(
  specification: MachineSpecification,
  trusted: HypervisorSettings['trusted'],
  processor?: CpuProfile,
): HypervisorSettings {
  const { profile, defects, mbec, iommu, hlat, secureKernel, cpu } = machineSettings(specification);
  return {
    profile,
    defects,
    mbec,
    gmet: mbec,
    iommu,
    hlat,
    secureKernel,
    processor: processor ?? processorOf(cpu),
    trusted,
  };
}
