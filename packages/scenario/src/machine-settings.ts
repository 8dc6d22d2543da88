import type { Profile } from '@heki/series';
import { INTEL_VT_RP } from '@heki/x86';
import type { MachineSpecification } from './scenario.ts';

/** A machine's specification with nothing left open. */
export interface MachineSettings {
  readonly memory: string;
  /** A file with the symbols of the kernel; Debian's 6.1 without. */
  readonly kernel: string | undefined;
  readonly vcpus: number;
  readonly pluggable: number;
  readonly levels: 4 | 5;
  readonly kaslrSeed: number | undefined;
  readonly commandLine: string;
  readonly hypervisor: string;
  readonly profile: Profile;
  readonly mbec: boolean;
  /** Name of a CPU profile. */
  readonly cpu: string;
}

/** What a specification leaves open, filled. */
export function machineSettings(specification: MachineSpecification): MachineSettings {
  return {
    memory: specification.memory ?? '512MiB',
    kernel: specification.kernel,
    vcpus: specification.vcpus ?? 1,
    pluggable: specification.pluggable ?? 0,
    levels: specification.levels ?? 4,
    kaslrSeed: specification.kaslrSeed,
    commandLine: specification.commandLine ?? '',
    hypervisor: specification.hypervisor ?? 'kvm',
    profile: specification.profile ?? 'hardened',
    mbec: specification.mbec ?? true,
    cpu: specification.cpu ?? INTEL_VT_RP.name,
  };
}
