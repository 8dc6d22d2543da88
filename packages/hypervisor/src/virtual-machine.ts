import type { Gfn, Gpa, StateDigest } from '@heki/physical-memory';
import type { Vcpu, VcpuSetup } from '@heki/vcpu';
import type { CpuProfile } from '@heki/x86';
import type { Capabilities } from './capabilities.ts';
import type { HypervisorEvent } from './event.ts';
import type { GuestMemoryRegion, Host } from './host.ts';
import type { PinRequest, PinResult, ProtectionResult } from './result.ts';
import type { EffectiveRights, ProtectionRange } from './rights.ts';
import type { LifeCycle, ProtectionState } from './state.ts';
import type { StandingFault, YieldPoint } from './yield-point.ts';

/** What a backend reports: the common events, and events of its own, told apart by `type`. */
export type BackendEvent = HypervisorEvent | { readonly type: string };

/** What a virtual machine is made from. */
export interface VirtualMachineOptions<Event extends BackendEvent = BackendEvent> {
  readonly host: Host;
  /** Called for everything that happens, in order. Without it nothing is built for tracing. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /**
   * Called at every {@link YieldPoint}: what it has other virtual CPUs do happens there, in the middle of the request. A backend whose requests
   * are one step does not call it. Without it nothing yields. At `fault` it may be given the fault.
   */
  readonly onYield?: ((at: YieldPoint, fault?: StandingFault) => void) | undefined;
}

/** Who stores to guest memory without a virtual CPU. */
export type OtherWriter =
  /** A device by DMA. */
  | 'dma'
  /** The VMM through its mapping of guest memory. */
  | 'vmm'
  /** The hypervisor itself, on behalf of the guest: hypercall results, clocks, emulated instructions. */
  | 'hypervisor';

/** The outcome of a store by an {@link OtherWriter}. */
export type OtherWriteResult =
  /** All bytes were stored. */
  | { readonly ok: true }
  /** Not stored: no memory there, or the writer respects the rights and they forbid it. */
  | { readonly ok: false; readonly why: 'not-memory' | 'denied'; readonly at: Gpa };

/** A virtual machine: guest memory, virtual CPUs, and the rights of each guest page. */
export interface VirtualMachine {
  /**
   * Gives the guest memory.
   *
   * Its host frames may be other guest memory, too, or have been: what is withheld from one guest frame cannot be had by another one that is
   * the same bytes, in whatever order regions and requests come (`rightsUnderAllNames`).
   *
   * @throws {HypervisorError} when the region overlaps another or leaves the address space
   */
  addMemory(region: GuestMemoryRegion): void;
  /**
   * Takes away the region that starts at `start`. Rights belong to frame numbers: memory that comes again there has
   * those that it had, and what was asked for its frames goes on to hold for the bytes. @throws {HypervisorError} when none starts there
   */
  removeMemory(start: Gfn): void;
  /** Creates the next virtual CPU, wired to this machine's second level and exits. Its index is the number of those before it. */
  createVcpu(setup?: VcpuSetup): Vcpu;
  /** All virtual CPUs, by index. */
  readonly vcpus: readonly Vcpu[];
  /** The rights of a guest page as the processor would judge an access now; `undefined` when no memory is there. */
  effectiveRights(gfn: Gfn): EffectiveRights | undefined;
  /** Puts all rights in force on every virtual CPU. Needed only where {@link Capabilities.inForce} is `on-flush`. */
  flush(): void;
  /**
   * Asks for rights from outside the guest, as the owner of the policy or, where the guest owns it, as the host's own
   * code. The guest's requests come by hypercall. A later request for a page replaces an earlier one; in one request the last
   * range that contains a page counts.
   */
  protect(ranges: readonly ProtectionRange[]): ProtectionResult;
  /** Asks for registers to be pinned, from outside the guest. */
  pin(request: PinRequest): PinResult;
  /** A store that comes from no virtual CPU. */
  write(writer: OtherWriter, gpa: Gpa, bytes: Uint8Array): OtherWriteResult;
  /**
   * INIT, reset or kexec. What happens to protection is the backend's policy.
   *
   * @throws {VcpuWaits} while an exit of a virtual CPU that starts again is being handled: then nothing has changed
   */
  lifeCycle(event: LifeCycle): void;
  /**
   * What is enforced, so that a machine with the same memory and registers goes on from it as this one does. `undefined` when the backend
   * cannot be asked, or is in the middle of something that no state can hold.
   */
  save(): ProtectionState | undefined;
  /**
   * Replaces what is enforced; memory and registers are the VMM's, and should be there first. `false` when the backend cannot.
   *
   * @throws {HypervisorError} when the state is malformed, or something of it cannot be enforced here: then nothing has changed
   * @throws {VcpuWaits} in the middle of a request: then nothing has changed
   */
  restore(state: ProtectionState): boolean;
  /**
   * What brings the machine back to the point where it is now, as often as it is called: virtual CPUs with all that they have cached,
   * memory regions, rights, pins, whatever the backend keeps. The host's memory and its frames are the caller's to bring back. For who
   * tries many things from one point; a state that outlives the machine is {@link save}'s. `undefined` when there is something now that
   * it cannot bring back, absent where the backend never can.
   */
  checkpoint?(): (() => void) | undefined;
  /**
   * Tells `digest` all that {@link checkpoint} brings back but for the virtual CPUs, which tell themselves: two points where both and host memory tell
   * the same go on alike. Numbers that only name something, as tags of caches, are left out. There where `checkpoint` is.
   */
  digest?(digest: StateDigest): void;
}

/** A hypervisor backend: what it can do, and a way to make virtual machines. */
export interface Hypervisor<
  Machine extends VirtualMachine = VirtualMachine,
  Event extends BackendEvent = BackendEvent,
> {
  /** Short name, as in `--hypervisor NAME`. */
  readonly name: string;
  readonly capabilities: Capabilities;
  /** The processor that virtual CPUs have. */
  readonly processor: CpuProfile;
  /** The defects that it can have, by their ids, and whether it has them. Default none. */
  readonly defects?: Readonly<Record<string, boolean>> | undefined;
  /** @throws {HypervisorError} when the options contradict each other */
  createVirtualMachine(options: VirtualMachineOptions<Event>): Machine;
  /** An event as one line of a trace. */
  describe(event: Event): string;
}
