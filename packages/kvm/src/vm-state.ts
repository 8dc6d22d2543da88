import type { HostFrames, StandingFault, YieldPoint } from '@heki/hypervisor';
import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { AttributeStore } from './attributes/attribute-store.ts';
import type { Permissions } from './attributes/permissions.ts';
import type { CodeOwner } from './code/code-owner.ts';
import type { PinBinding } from './control-registers/pin-binding.ts';
import type { KvmDefectSwitches } from './defects/kvm-defects.ts';
import type { KvmEvent } from './event.ts';
import type { Hlat } from './hlat/hlat.ts';
import type { HostLog } from './host/host-log.ts';
import type { LockChecker } from './host/locks.ts';
import type { Memslots } from './memslots/memslots.ts';
import type { LargePages } from './mmu/large-pages.ts';
import type { SecondLevelTables } from './mmu/second-level-tables.ts';
import type { KvmVcpuSetup, NestedCpus } from './nested/nested-guest.ts';
import type { ResolvedOptions } from './options.ts';
import type { Owner } from './owner.ts';
import type { KvmStatistics } from './statistics.ts';

/** What tells a fault that what it looked at is no longer so: `mmu_invalidate_in_progress` and `mmu_invalidate_seq`. */
interface Invalidation {
  /** Changes that have begun and not ended. */
  inProgress: number;
  /** Changes that have ended. */
  sequence: number;
}

/** `struct kvm`: the parts of one VM, which the functions of this package work on. */
export interface VmState {
  readonly options: ResolvedOptions;
  readonly defects: KvmDefectSwitches;
  readonly slots: Memslots;
  /** Which guest frames are the same memory (B-ALIAS). */
  readonly hostFrames: HostFrames;
  /** Guest memory through slots and host mapping. */
  readonly memory: PhysicalMemory<Gfn>;
  readonly attributes: AttributeStore;
  readonly largePages: LargePages;
  readonly tables: SecondLevelTables;
  /** Who decides what the kernel executes; `undefined` without one. */
  readonly code: CodeOwner | undefined;
  /** The linear addresses that cannot be mapped anew; `undefined` without HLAT. */
  readonly hlat: Hlat | undefined;
  readonly locks: LockChecker;
  readonly log: HostLog;
  readonly statistics: KvmStatistics;
  readonly vcpus: Vcpu[];
  /** Whether each virtual CPU is bound by the pins, by its index. */
  readonly bindings: Map<number, PinBinding>;
  /** Those that run an L2. */
  readonly nested: NestedCpus;
  /** The hypervisors inside the guest, by virtual CPU. */
  readonly onNestedExit: Map<Vcpu, NonNullable<KvmVcpuSetup['onNestedExit']>>;
  /** Bits of CR0 and CR4 that stay set: heki_pinned_cr0 and heki_pinned_cr4. */
  readonly pins: { cr0: bigint; cr4: bigint };
  /** Who decides about rights and registers. */
  readonly owner: Owner;
  /** `undefined` without a listener: then build no event. */
  readonly emit: ((event: KvmEvent) => void) | undefined;
  /** `undefined`: requests are one step. Only {@link yieldAt} calls it. */
  readonly onYield: ((at: YieldPoint, fault?: StandingFault) => void) | undefined;
  readonly invalidation: Invalidation;
}

/** A VM whose guest kernel owns the policy, as the series has it. */
export interface HekiVmState extends VmState {
  readonly permissions: Permissions;
  /** heki_configure_exit_reason and heki_denial_exit_reason. */
  readonly exitReasons: { configure: number; denial: number };
}
