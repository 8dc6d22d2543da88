import type { SignedCode } from '@heki/code-authority';
import { DEBIAN_6_1 } from '@heki/linux';
import type { CpuProfile } from '@heki/x86';
import { signedKernel } from '../linux/signed-images.ts';
import type { SigningAuthority } from '../linux/signing-authority.ts';
import {
  type HypervisorKey,
  type MachineSettings,
  type MachineSpecification,
  machineSettings,
} from './machine-specification.ts';
import { processorOf } from './processor.ts';

/** The part of a specification that a hypervisor is made of, in the terms of the backends' own options. */
export interface HypervisorSettings
  extends Pick<MachineSettings, 'profile' | 'defects' | Exclude<HypervisorKey, 'authenticate'>> {
  /** What MBEC is called on AMD. */
  readonly gmet: boolean;
  readonly processor: CpuProfile;
  /** What a secure kernel that looks at signatures lets run. */
  readonly trusted: Partial<SigningAuthority['signed']>;
  /** What an owner of the kernel's code goes by, where there is one. */
  readonly authenticate: SignedCode | undefined;
}

/**
 * What a specification says of its hypervisor.
 *
 * @param processor in place of the one that the specification names, where a snapshot decides
 * @param code what an owner of the kernel's code goes by, if the specification wants one. Default: Debian's kernel, and no module
 * @throws {MachineError} for an unknown processor
 */
export function hypervisorSettings(
  specification: MachineSpecification,
  trusted: HypervisorSettings['trusted'],
  processor?: CpuProfile,
  code?: SignedCode,
): HypervisorSettings {
  const { cpu, authenticate, ...settings } = machineSettings(specification);
  return {
    ...settings,
    gmet: settings.mbec,
    authenticate: authenticate ? (code ?? debianAlone()) : undefined,
    processor: processor ?? processorOf(cpu),
    trusted,
  };
}

function debianAlone(): SignedCode {
  return { kernel: signedKernel(DEBIAN_6_1), readImage: () => undefined };
}
