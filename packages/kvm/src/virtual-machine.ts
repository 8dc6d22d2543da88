import type { VirtualMachine } from '@heki/hypervisor';
import type { Gfn, Gpa } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { AttributeStore } from './attributes/attribute-store.ts';
import type { MemoryAttributes } from './attributes/user-attributes.ts';
import type { EmulationResult } from './exit/emulator.ts';
import type { Hlat } from './hlat/hlat.ts';
import type { LockName } from './host/locks.ts';
import type { Memslot } from './memslots/memslot.ts';
import type { UserspaceMemoryRegion } from './memslots/memslots.ts';
import type { HostRegisters, KvmVcpuSetup, NestedSetup } from './nested/nested-guest.ts';
import type { KvmStatistics } from './statistics.ts';

/** Leaves of the second level by size. */
export interface LeafCounts {
  readonly pages4K: number;
  readonly pages2M: number;
  readonly pages1G: number;
}

/** What a VMM does with a VM's file descriptor. Each answers 0 or a positive number, or a negative error number. */
export interface KvmIoctls {
  /** KVM_SET_USER_MEMORY_REGION. */
  setUserMemoryRegion(region: UserspaceMemoryRegion): number;
  /** KVM_SET_MEMORY_ATTRIBUTES. */
  setMemoryAttributes(attributes: MemoryAttributes): number;
  /**
   * KVM_GET_DIRTY_LOG: the frames of a slot stored to since the last time, and write-protects them again. -ENOENT when the slot
   * keeps no log. A slot that moves takes its log along; one whose log is switched off loses it.
   */
  getDirtyLog(slot: number): readonly Gfn[] | number;
  /** KVM_CHECK_EXTENSION. */
  checkExtension(capability: number): number;
  /** KVM_ENABLE_CAP with its first argument. */
  enableCapability(capability: number, argument: bigint): number;
}

/** A virtual machine of KVM: the contract, the ioctls of its VMM, and a view of its state. */
export interface KvmVirtualMachine extends VirtualMachine {
  /** What the VMM does with the VM's file descriptor. */
  readonly ioctls: KvmIoctls;
  /** What has happened so far. */
  readonly statistics: Readonly<KvmStatistics>;
  /** The memory attributes, for reading. */
  readonly attributes: Pick<AttributeStore, 'extents' | 'get' | 'all' | 'any' | 'forEach'>;
  /** The memslots, in the order of their frames. */
  readonly slots: readonly Memslot[];
  /** Pinned bits. */
  readonly pins: { readonly cr0: bigint; readonly cr4: bigint };
  /** Linear addresses that cannot be mapped anew; `undefined` without HLAT. */
  readonly hlat: Pick<Hlat, 'pages' | 'tablePages' | 'unlisted' | 'levels'> | undefined;
  /** The root table of the second level. */
  readonly root: number;
  /** Pages of second-level tables, the root included. */
  readonly tablePages: number;
  /** The leaves that are there now, by size. */
  leafCounts(): LeafCounts;
  /**
   * KVM_PRE_FAULT_MEMORY: maps `start` .. `end` - 1 as read faults would, with the largest legal leaves, as far as the first hole. Frames
   * from `start` on that are mapped now; when there is none, -ENOENT for a hole, -ENOMEM without a frame for a table, -EINVAL for an
   * empty range.
   */
  preFault(start: Gfn, end: Gfn): number;
  /**
   * Removes the leaves of `start` .. `end` - 1, which come back by faults: the host's memory management moves pages
   * (MMU notifier), small leaves are collapsed into large ones, or those split for execution are recovered.
   */
  invalidate(start: Gfn, end: Gfn): void;
  /** The host's memory management asks which pages are in use: accessed flags are cleared (MMU notifier clear_young). */
  age(start: Gfn, end: Gfn): void;
  /** Its virtual CPUs may have a hypervisor inside the guest. */
  createVcpu(setup?: KvmVcpuSetup): Vcpu;
  /**
   * A hypervisor inside the guest (L1) enters a guest of its own (L2) on `vcpu`, with the EPTP or nCR3 of its tables in guest memory. Whether
   * it runs; what the virtual CPU executes then is L2's, with the registers that it has, and its exits are L1's where L1 wants them.
   */
  enterNested(vcpu: Vcpu, pointer: bigint, setup?: NestedSetup): boolean;
  /** VM exit from the L2: CR0, CR3, CR4 and EFER are those of L1 again, or what its VMCS has for them. Other registers stay as they are. */
  leaveNested(vcpu: Vcpu): void;
  /** The instruction emulator carries out MOV to CR0, CR3 or CR4: the second entrance to the registers. */
  emulateMovToCr(vcpu: Vcpu, cr: 0 | 3 | 4, value: bigint): EmulationResult;
  /**
   * RSM: the virtual CPU leaves system management mode, in 64-bit mode. `saved`: control registers that firmware has changed in the state save area;
   * the others are those that the SMI found.
   */
  resumeFromSmm(vcpu: Vcpu, saved: Partial<HostRegisters>): void;
  /** The instruction emulator stores `bytes`, as for string input into guest memory. */
  emulateStore(vcpu: Vcpu, gpa: Gpa, bytes: Uint8Array): EmulationResult;
  /** The locks held now: none outside a call. */
  readonly locksHeld: readonly LockName[];
}
