import { type Mapping, type PlaceName, rightsOf } from '@heki/audit';
import type { HekiGuest } from '@heki/guest';
import type { Capabilities, VirtualMachine } from '@heki/hypervisor';
import type { KvmVirtualMachine } from '@heki/kvm';
import {
  type FrameRange,
  type Gfn,
  type MemoryMap,
  type Pfn,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { VirtualRange } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { type PagingLevels, upperHalfStart, walkMappings } from '@heki/x86';

/** A machine that is looked at while its kernel lives: a modelled one, or that of a dump. */
export interface WatchedMachine {
  readonly virtualMachine: VirtualMachine;
  readonly capabilities: Capabilities;
  /** Guest-physical memory. */
  readonly memory: PhysicalMemory<Gfn>;
  /** RAM as the guest knows it. */
  readonly memoryMap: MemoryMap<Gfn>;
  /** The processor that the kernel runs on just now. */
  readonly vcpu: Vcpu;
  readonly vcpus: readonly Vcpu[];
  /** Heki's core in the kernel. */
  readonly heki: HekiGuest;
  /** The kernel's page tables. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** What of memory is kept for a crash kernel. */
  readonly crashKernel: readonly FrameRange<Gfn>[];
  /** Pages of eBPF just now; `undefined` where nothing lists them. */
  readonly bpf: readonly VirtualRange[] | undefined;
  hostFrame(frame: Gfn): Pfn;
  /** Has the hypervisor map a page as a first read would; `false` where it cannot just now. Absent where it never can. */
  readonly preFault: ((frame: Gfn) => boolean) | undefined;
  regionAt(frame: VirtualFrame): PlaceName;
  /** `vfs_read+0x10`; `undefined` where no symbol is known. */
  symbolAt(address: VirtualAddress): string | undefined;
  /** @throws {UsageError} when it is neither an address nor a symbol that is known */
  resolve(text: string): VirtualAddress;
}

const isKvm = (machine: VirtualMachine): machine is KvmVirtualMachine => 'preFault' in machine;

/** `preFault` of a machine on `virtualMachine`: KVM's, outside its own calls. */
export function preFaultOf(virtualMachine: VirtualMachine): WatchedMachine['preFault'] {
  if (!isKvm(virtualMachine)) return undefined;
  return (frame) =>
    virtualMachine.locksHeld.length === 0 && virtualMachine.preFault(frame, (frame + 1) as Gfn) > 0;
}

/** Every mapping in the kernel's half, as the page tables have them now. */
export function mappingsOf({ memory, root, levels, regionAt }: WatchedMachine): Mapping[] {
  const mappings: Mapping[] = [];
  walkMappings(
    { memory, root, levels, budget: DUMP_LIMITS.tablePages },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    (leaf) =>
      mappings.push({ ...leaf, rights: rightsOf(leaf.effective), region: regionAt(leaf.virtualFrame) }),
  );
  return mappings;
}
