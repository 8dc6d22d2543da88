import { DEBIAN_6_1, type KernelProfile } from '@heki/linux';
import {
  createLinuxMachine,
  createSigningAuthority,
  type LinuxMachine,
  pcMemoryMap,
  type TraceEvent,
} from '@heki/machine';
import { KERNEL_JUMP_LABELS, type MachineSpecification, memoryBytes } from '@heki/scenario';
import { UsageError } from '../failure.ts';
import { HYPERVISORS, type HypervisorName, hypervisorNamed } from '../hypervisors.ts';

/** A machine's specification with nothing left open. */
export interface BootSettings {
  readonly memory: string;
  /** A file with symbols; Debian's 6.1 without. */
  readonly kernel: string | undefined;
  readonly vcpus: number;
  readonly pluggable: number;
  readonly levels: 4 | 5;
  readonly kaslrSeed: number | undefined;
  readonly commandLine: string;
  readonly hypervisor: HypervisorName;
  readonly profile: 'hardened' | 'rfc-v2';
  readonly mbec: boolean;
}

/** The kernel image and its tables need that much. */
const LEAST_MEMORY = 64 * 2 ** 20;
/** The report looks at every page. */
const MOST_MEMORY = 256 * 2 ** 30;

/** What a specification leaves open, filled. @throws {UsageError} for a hypervisor that there is none of, or for too little or too much memory */
export function bootSettings(specification: MachineSpecification): BootSettings {
  const memory = specification.memory ?? '512MiB';
  const bytes = memoryBytes(memory);
  if (bytes < LEAST_MEMORY || bytes > MOST_MEMORY) {
    throw new UsageError(`memory ${memory}: expected 64MiB to 256GiB`);
  }
  return {
    memory,
    kernel: specification.kernel,
    vcpus: specification.vcpus ?? 1,
    pluggable: specification.pluggable ?? 0,
    levels: specification.levels ?? 4,
    kaslrSeed: specification.kaslrSeed,
    commandLine: specification.commandLine ?? '',
    hypervisor: hypervisorNamed(specification.hypervisor),
    profile: specification.profile ?? 'hardened',
    mbec: specification.mbec ?? true,
  };
}

/** A machine by its settings, and a way to write its events as lines. */
export function createBootMachine(
  settings: BootSettings,
  options: {
    readonly kernel?: KernelProfile;
    readonly processorEvents?: boolean;
    readonly attackable?: boolean;
    readonly onEvent?: (event: TraceEvent) => void;
  } = {},
): LinuxMachine {
  const { profile, mbec, commandLine, levels, vcpus, pluggable, kaslrSeed } = settings;
  const backend = HYPERVISORS[settings.hypervisor];
  const authority = createSigningAuthority();
  return createLinuxMachine({
    hypervisor: backend.create({ profile, mbec, trusted: authority.signed }),
    presentSignature: authority.sign,
    jumpLabels: KERNEL_JUMP_LABELS,
    memoryMap: pcMemoryMap(memoryBytes(settings.memory)),
    kernel: options.kernel ?? DEBIAN_6_1,
    driver: backend.driver,
    profile,
    commandLine,
    levels,
    vcpus,
    pluggable,
    ...(kaslrSeed === undefined ? {} : { kaslrSeed }),
    ...(options.attackable === undefined ? {} : { attackable: options.attackable }),
    ...(options.processorEvents === undefined ? {} : { processorEvents: options.processorEvents }),
    ...(options.onEvent === undefined ? {} : { onEvent: options.onEvent }),
  });
}
