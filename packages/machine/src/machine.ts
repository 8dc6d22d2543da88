import type { EarlyInitResult, HekiGuest, KernelConfig, LateInitResult } from '@heki/guest';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { DriverMemory, HekiPort } from '@heki/paravirt';
import type { FrameRange, Gfn, MemoryMap, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { DefectChoices, Profile } from '@heki/series';
import type { Registers, Vcpu } from '@heki/vcpu';
import type { ProvenRoot } from '@heki/vmcore';
import type { Attack } from './attacks/attack.ts';
import type { AttackResult } from './attacks/attack-result.ts';
import type { Attacker } from './attacks/attacker.ts';
import type { Claimant } from './attacks/claim.ts';
import type { KernelTargets } from './attacks/targets.ts';
import type { MachineDefectId } from './defects.ts';
import type { TraceEvent } from './event.ts';
import type { MachineSpecification } from './specification/machine-specification.ts';

/** A hypervisor's driver in the guest kernel: fills the core's port and tells whether it did. */
export type HekiDriver = (
  guest: HekiPort,
  options: {
    /** The virtual CPU that the kernel runs on just now. */
    readonly vcpu: () => Vcpu;
    /** The kernel's memory, for drivers that build lists of their own. */
    readonly memory: DriverMemory;
    /** The same, for a kernel that has its code authenticated. */
    readonly authenticate?: DriverMemory | undefined;
    readonly profile: Profile;
    readonly defects: DefectChoices<MachineDefectId>;
    readonly onWarning: (text: string) => void;
  },
) => boolean;

/** A kernel of which no page tables are known: its hooks are told what is mapped, as a recording does. Nothing is mapped for its CPU. */
export interface KernelWithoutTables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: undefined;
}

/** What a machine around a snapshot is made of: of its specification what the snapshot leaves open, and objects that stand for the rest. */
export interface MachineOptions<VM extends VirtualMachine, Event extends BackendEvent>
  extends Pick<MachineSpecification, 'profile' | 'defects' | 'spuriousFaults'> {
  /** The backend; the machine knows none. */
  readonly hypervisor: Hypervisor<VM, Event>;
  /**
   * The kernel, by its page tables in guest-physical memory, as a snapshot holds it. Memory is only read: the machine keeps its
   * changes apart. The virtual CPU gets the root into CR3, as the kernel's entry code would.
   */
  readonly kernel: ProvenRoot | KernelWithoutTables;
  /** The kernel's memory, where more of it is known than the snapshot of its page tables holds. Default: that of `kernel`. Only read, as well. */
  readonly contents?: PhysicalMemory<Gfn> | undefined;
  readonly memoryMap: MemoryMap<Gfn>;
  /** Registers of the virtual CPU, as the snapshot has them. */
  readonly registers: Partial<Registers>;
  /**
   * The frames reserved for a crash kernel. As long as one is loaded they are read-only, and the kernel must be able to change that: they
   * never become immutable, unless B-G16.
   */
  readonly crashKernel?: readonly FrameRange<Gfn>[];
  /** Frames of the largest page that the host backs the guest with. Default 2^18 (1 GiB). */
  readonly hostPage?: 1 | 512 | 262144 | undefined;
  /** How the kernel was configured. Default: as Heki v2 needs it, without KASLR and jump labels. */
  readonly kernelConfig?: KernelConfig | undefined;
  /** `heki=` on the kernel's command line. Default true. */
  readonly heki?: boolean;
  /** The driver in the guest kernel. Default KVM's. */
  readonly driver?: HekiDriver;
  /** Called for everything that happens, in order. */
  readonly onEvent?: ((event: TraceEvent<Event>) => void) | undefined;
}

/** A kernel on a virtual CPU in a virtual machine. */
export interface Machine<VM extends VirtualMachine = VirtualMachine> extends Claimant {
  readonly virtualMachine: VM;
  readonly vcpu: Vcpu;
  /** Guest-physical memory, with the RAM that was added. */
  readonly memory: PhysicalMemory<Gfn>;
  /** Where the host keeps a guest frame that is memory: what its VMM knows. */
  hostFrame(frame: Gfn): Pfn;
  /** RAM that the snapshot's machine did not have: page lists are built there. It is in no mapping of the kernel. */
  readonly addedMemory: FrameRange<Gfn>;
  /** The Heki core of the guest kernel. */
  readonly heki: HekiGuest;
  /** `init_platform` and `heki_early_init`: the driver looks for a hypervisor with Heki, then mappings are counted. */
  earlyInit(): EarlyInitResult;
  /** `heki_late_init`: control registers are locked and memory is protected. */
  lateInit(): LateInitResult;
  /** Has somebody who controls the kernel try `attack` on the virtual CPU. */
  attack(attack: Attack, targets: KernelTargets): AttackResult;
  /** Somebody who runs in the kernel on the virtual CPU, and knows where its direct map is: for attacks that are more than instructions. */
  attacker(): Attacker;
  /** Adds a listener to the trace; the result removes it. */
  listen(listener: (event: TraceEvent) => void): () => void;
}
