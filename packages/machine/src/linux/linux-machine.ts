import type { HekiGuest, KernelConfig } from '@heki/guest';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type {
  KernelProfile,
  LinuxKernel,
  ModuleImage,
  ModuleTextChanges,
  SpuriousFaultRetry,
} from '@heki/linux';
import type { FrameRange, Gfn, MemoryMap, PhysicalMemory } from '@heki/physical-memory';
import type { DefectChoices, Profile } from '@heki/series';
import type { Vcpu } from '@heki/vcpu';
import type { PagingLevels } from '@heki/x86';
import type { Attack } from '../attacks/attack.ts';
import type { AttackResult } from '../attacks/attack-result.ts';
import type { Claimant } from '../attacks/claim.ts';
import type { KernelTargets } from '../attacks/targets.ts';
import type { MachineDefectId } from '../defects.ts';
import type { TraceEvent } from '../event.ts';
import type { HekiDriver } from '../machine.ts';

/** What a machine is made of whose kernel boots. */
export interface LinuxMachineOptions<VM extends VirtualMachine, Event extends BackendEvent> {
  /** The backend; the machine knows none. */
  readonly hypervisor: Hypervisor<VM, Event>;
  /** The guest's physical memory; it reads zero. */
  readonly memoryMap: MemoryMap<Gfn>;
  /** Sections of 128 MiB that can be plugged in later. Default 0. */
  readonly pluggable?: number;
  /** Number of virtual CPUs, at least 1. Default 1. */
  readonly vcpus?: number;
  /** Kernel image. Default that of `@heki/linux`. */
  readonly kernel?: KernelProfile;
  /** The kernel's command line: `heki=0`, `nokaslr`, `rodata=off`, `pti=on`. Default empty. */
  readonly commandLine?: string;
  /** Default 4. */
  readonly levels?: PagingLevels;
  /** Seed of KASLR; without it nothing is randomized. */
  readonly kaslrSeed?: number;
  /** The guest's half, hooks included. Default `hardened`. */
  readonly profile?: Profile;
  /** Single defects of the guest's half switched on or off against the profile. */
  readonly defects?: DefectChoices<MachineDefectId>;
  /** How the kernel was configured. Default: as Heki v2 needs it, without KASLR and jump labels. */
  readonly kernelConfig?: KernelConfig;
  /**
   * The driver in the guest kernel. Default KVM's; `undefined` for a hypervisor that the kernel knows no driver for, or that
   * has no Heki.
   */
  readonly driver?: HekiDriver | undefined;
  /** Jump labels in the kernel's own text, by their offsets: what a secure kernel must know to patch them later. Default none. */
  readonly jumpLabels?: readonly number[];
  /** Hears of each module that is signed, before the kernel loads it: for a secure kernel that wants signatures. */
  readonly presentSignature?: (image: ModuleImage, changes: ModuleTextChanges) => void;
  /** Frames of the largest page that the host backs the guest with. Default 2^18 (1 GiB). */
  readonly hostPage?: 1 | 512 | 262144;
  /** What the page-fault handler does about faults that it cannot explain. Default by profile: `rfc-v2` is Linux as it is. */
  readonly spuriousFaults?: SpuriousFaultRetry;
  /**
   * Lets the other virtual CPUs run between two accesses of the kernel. They make single accesses then: functions of the kernel throw,
   * because its locks are not modelled.
   */
  readonly interleave?: () => void;
  /** {@link LinuxMachine.attack} may be called: the virtual CPUs keep records for it, which costs speed. Default false. */
  readonly attackable?: boolean;
  /** Report every access and instruction of the virtual CPUs, too: they are many. Default false. */
  readonly processorEvents?: boolean;
  /** Called for what happens, in order. */
  readonly onEvent?: (event: TraceEvent<Event>) => void;
}

/** A Linux kernel that boots and lives on a virtual CPU in a virtual machine. */
export interface LinuxMachine<VM extends VirtualMachine = VirtualMachine> extends Claimant {
  readonly virtualMachine: VM;
  /** The virtual CPUs; the first one boots. */
  readonly vcpus: readonly Vcpu[];
  readonly memoryMap: MemoryMap<Gfn>;
  /** Guest-physical memory as hardware has it. */
  readonly memory: PhysicalMemory<Gfn>;
  readonly kernel: LinuxKernel;
  /** The Heki core of the kernel. */
  readonly heki: HekiGuest;
  /**
   * Tries an attack on the processor that the kernel runs on. An exception ends it, and not the kernel.
   *
   * @throws {MachineError} unless the machine is `attackable`
   */
  attack(attack: Attack, targets: KernelTargets): AttackResult;
  /** Gives the virtual machine its next section of memory, which the kernel then can take; `undefined` when there is none left. */
  plugMemory(): FrameRange<Gfn> | undefined;
  /** Takes a section from the virtual machine that the kernel has given up: the next one that {@link plugMemory} gives. */
  unplugMemory(section: FrameRange<Gfn>): void;
}
