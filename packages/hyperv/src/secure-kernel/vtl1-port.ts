import {
  encodeHvControl,
  encodeHvGetRegisters,
  encodeHvModifyProtection,
  encodeHvSetRegisters,
  HV_PARTITION_SELF,
  HvCall,
  type HvResult,
} from '@heki/hypercall/hyperv';
import type { YieldPoint } from '@heki/hypervisor';
import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { HypervEvent } from '../event.ts';
import { type Answer, answerVtl1 } from '../hypercall/handle-hypercall.ts';
import { type Partition, type VirtualProcessor, yieldAt } from '../partition/partition.ts';

/** What the code in VTL1 has: the guest's memory, and hypercalls as bytes. */
export interface Vtl1 {
  /** Index of the virtual processor that runs it; 0 for the owner outside. */
  readonly vp: number;
  /** Numbers of all virtual processors are below it. */
  readonly processors: number;
  /** All guest memory, past VTL0's protections. */
  readonly memory: PhysicalMemory<Gfn>;
  /** The parts of a range that are RAM by the partition's memory map. */
  ram(start: Gfn, end: Gfn): readonly { readonly start: Gfn; readonly end: Gfn }[];
  /** One past the last frame of RAM. */
  readonly ramEnd: number;
  hypercall(control: bigint, input: Uint8Array): Answer;
  /** HvCallModifyVtlProtectionMask for VTL0, at most 510 pages in a row. */
  protect(start: Gfn, pages: number, flags: number): HvResult;
  /** HvCallGetVpRegisters; `undefined` when the hypervisor refuses. */
  get(vp: number, vtl: 0 | 1, register: number): bigint | undefined;
  /** HvCallSetVpRegisters; whether the hypervisor took it. */
  set(vp: number, vtl: 0 | 1, ...values: { readonly name: number; readonly value: bigint }[]): boolean;
  emit(event: HypervEvent): void;
  /** VTL0's other processors may act here. */
  yieldAt(at: YieldPoint): void;
}

/** VTL1's port on a processor, or without one for requests of the owner. */
export function createVtl1Port(partition: Partition, processor?: VirtualProcessor): Vtl1 {
  const hypercall = (control: bigint, input: Uint8Array): Answer =>
    answerVtl1(partition, processor, control, input);
  return {
    vp: processor?.vcpu.id ?? 0,
    processors: partition.processors.length,
    memory: partition.regions.memory,
    ram: (start, end) => partition.regions.parts(start, end),
    ramEnd: partition.regions.end,
    hypercall,
    protect(start, count, flags) {
      const pages = new Float64Array(count);
      for (let i = 0; i < count; i++) pages[i] = start + i;
      return hypercall(
        encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: count }),
        encodeHvModifyProtection({ partition: HV_PARTITION_SELF, flags, targetVtl: undefined, pages }),
      );
    },
    get(vp, vtl, register) {
      const input = encodeHvGetRegisters({ partition: HV_PARTITION_SELF, vp, vtl, names: [register] });
      const { status, output } = hypercall(
        encodeHvControl({ code: HvCall.GET_VP_REGISTERS, repCount: 1 }),
        input,
      );
      if (status !== 0) return undefined;
      const view = new DataView(output.buffer);
      return view.getBigUint64(0, true) | (view.getBigUint64(8, true) << 64n);
    },
    set(vp, vtl, ...values) {
      const input = encodeHvSetRegisters({ partition: HV_PARTITION_SELF, vp, vtl, values });
      const control = encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: values.length });
      return hypercall(control, input).status === 0;
    },
    emit: (event) => partition.emit?.(event),
    yieldAt: (at) => yieldAt(partition, at),
  };
}
