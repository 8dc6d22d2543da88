import type { GuestRegions, Host, YieldPoint } from '@heki/hypervisor';
import type { Exception, Vcpu } from '@heki/vcpu';
import type { HypervEvent } from '../event.ts';
import type { ResolvedOptions } from '../options.ts';
import type { HypervStatistics } from '../statistics.ts';
import type { VtlMemory } from './vtl-memory.ts';

/** What VTL1 intercepts on one virtual processor: its HvRegisterCrIntercept registers. */
export interface Intercepts {
  control: bigint;
  cr0Mask: bigint;
  cr4Mask: bigint;
  miscEnableMask: bigint;
}

/** One virtual processor with its two contexts. */
export interface VirtualProcessor {
  readonly vcpu: Vcpu;
  activeVtl: 0 | 1;
  readonly intercepts: Intercepts;
  /** Exception that VTL1 set for VTL0, delivered when it goes on. */
  pending: Exception | undefined;
  /** VTL1 moved VTL0's RIP behind the intercepted instruction. */
  completed: boolean;
  /** RIP behind the intercepted instruction; `undefined` when its length is not known. */
  next: bigint | undefined;
}

/** One partition: the parts that the functions of this package work on. */
export interface Partition {
  readonly options: ResolvedOptions;
  readonly host: Host;
  readonly regions: GuestRegions;
  /** By VTL. VTL1 has full access. */
  readonly memory: readonly [VtlMemory, VtlMemory];
  readonly processors: VirtualProcessor[];
  /** What a restored state has for virtual processors that are still to be made, by index. */
  readonly interceptsToCome: Map<number, Readonly<Intercepts>>;
  /** HvRegisterVsmPartitionConfig. */
  config: bigint;
  /** HvRegisterVsmVpSecureVtlConfig for VTL0. */
  secureConfig: bigint;
  readonly statistics: HypervStatistics;
  readonly emit: ((event: HypervEvent) => void) | undefined;
  /** `undefined`: requests are one step. Only {@link yieldAt} calls it. */
  readonly onYield: ((at: YieldPoint) => void) | undefined;
  /** A processor stands still within VTL1, and others have their turn. VTL1 takes one call at a time. */
  suspended: boolean;
}

/** Others may act here. Free where nobody listens. */
export function yieldAt(partition: Partition, at: YieldPoint): void {
  const { onYield, suspended } = partition;
  if (onYield === undefined) return;
  partition.suspended = true;
  try {
    onYield(at);
  } finally {
    partition.suspended = suspended;
  }
}

/** Every virtual processor forgets what it cached of every second level. */
export function flush(partition: Partition): void {
  for (const { vcpu } of partition.processors) {
    vcpu.invept();
    yieldAt(partition, 'flush');
  }
  partition.statistics.flushes++;
}

/** Goes on in a VTL: its second level is what the processor uses. */
export function switchVtl(partition: Partition, processor: VirtualProcessor, vtl: 0 | 1): void {
  processor.activeVtl = vtl;
  const memory = partition.memory[vtl];
  processor.vcpu.useSecondLevel(memory.second(), memory.root);
}
