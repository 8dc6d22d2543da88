import type { HekiGuest, KernelConfig } from '@heki/guest';
import type { BackendEvent, Hypervisor, VirtualMachine, YieldPoint } from '@heki/hypervisor';
import type { KernelBuild, LinuxKernel, ModuleImage, ModuleTextChanges } from '@heki/linux';
import type { FrameRange, Gfn, MemoryMap, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { Attack } from '../attacks/attack.ts';
import type { AttackResult } from '../attacks/attack-result.ts';
import type { Attacker } from '../attacks/attacker.ts';
import type { Claimant } from '../attacks/claim.ts';
import type { KernelTargets } from '../attacks/targets.ts';
import type { TraceEvent } from '../event.ts';
import type { HekiDriver } from '../machine.ts';
import type { HypervisorKey, MachineSpecification } from '../specification/machine-specification.ts';
import type { CodeSigner } from './code-signer.ts';

/** What of a specification the caller turns into objects: they stand in for it. */
type MadeByCaller = 'memory' | 'cpu' | 'hypervisor' | 'kernel' | HypervisorKey;

/** A turn of the other virtual CPUs; `within`: at which point of a request of the kernel, where it lies in one. */
export type Interleave = (within?: YieldPoint) => void;

/** What a machine is made of whose kernel boots: its specification, and the objects that stand for what that names. */
export interface LinuxMachineOptions<VM extends VirtualMachine, Event extends BackendEvent>
  extends Omit<MachineSpecification, MadeByCaller> {
  /** The backend; the machine knows none. */
  readonly hypervisor: Hypervisor<VM, Event>;
  /** The guest's physical memory; it reads zero. */
  readonly memoryMap: MemoryMap<Gfn>;
  /** Kernel image. Default that of `@heki/linux`. */
  readonly kernel?: KernelBuild | undefined;
  /** How the kernel was configured. Default: as Heki v2 needs it, without KASLR and jump labels. */
  readonly kernelConfig?: KernelConfig | undefined;
  /**
   * The driver in the guest kernel. Default KVM's; `undefined` for a hypervisor that the kernel knows no driver for, or that
   * has no Heki.
   */
  readonly driver?: HekiDriver | undefined;
  /** Jump labels in the kernel's own text, by their offsets: what a secure kernel must know to patch them later. Default none. */
  readonly jumpLabels?: readonly number[] | undefined;
  /** Hears of each module that is signed, before the kernel loads it: for a secure kernel that wants signatures. */
  readonly presentSignature?: ((image: ModuleImage, changes: ModuleTextChanges) => void) | undefined;
  /**
   * Who signed the kernel and its modules, for a hypervisor that was made with its `code`: the kernel has its code authenticated then. Default: it
   * does not.
   */
  readonly codeSigner?: CodeSigner | undefined;
  /** Frames of the largest page that the host backs the guest with. Default 2^18 (1 GiB). */
  readonly hostPage?: 1 | 512 | 262144 | undefined;
  /**
   * Lets the other virtual CPUs run between two accesses of the kernel, and at each `YieldPoint` of its requests. They make single accesses then:
   * functions of the kernel throw, because its locks are not modelled. A turn in which one of them waits for a request ends there.
   */
  readonly interleave?: Interleave | undefined;
  /** {@link LinuxMachine.interleave} may be set later. It costs a call for each access of the kernel. Default false. */
  readonly interleaved?: boolean;
  /** {@link LinuxMachine.attack} may be called: the virtual CPUs keep records for it, which costs speed. Default false. */
  readonly attackable?: boolean;
  /** Report every access and instruction of the virtual CPUs, too: they are many. Default false. */
  readonly processorEvents?: boolean;
  /** Called for what happens, in order. */
  readonly onEvent?: ((event: TraceEvent<Event>) => void) | undefined;
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
  /** Where the host keeps a guest frame that is memory: what its VMM knows. */
  hostFrame(frame: Gfn): Pfn;
  /** The Heki core of the kernel. */
  readonly heki: HekiGuest;
  /**
   * Tries an attack on `vcpu`, by default the processor that the kernel runs on. An exception ends it, and not the kernel.
   *
   * @throws {MachineError} unless the machine is `attackable`
   */
  attack(attack: Attack, targets: KernelTargets, vcpu?: Vcpu): AttackResult;
  /**
   * Somebody who runs in the kernel on `vcpu`, by default the processor that it runs on: for attacks that take more than one processor, and
   * more than instructions.
   *
   * @throws {MachineError} unless the machine is `attackable`
   */
  attackerOn(vcpu?: Vcpu): Attacker;
  /** What the other virtual CPUs do between two accesses of the kernel and within its requests; as {@link LinuxMachineOptions.interleave}, and set by it at first. */
  interleave: Interleave | undefined;
  /** Gives the virtual machine its next section of memory, which the kernel then can take; `undefined` when there is none left. */
  plugMemory(): FrameRange<Gfn> | undefined;
  /** Takes a section from the virtual machine that the kernel has given up: the next one that {@link plugMemory} gives. */
  unplugMemory(section: FrameRange<Gfn>): void;
}
