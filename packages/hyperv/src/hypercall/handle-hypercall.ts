import {
  decodeHvControl,
  decodeHvEnablePartitionVtl,
  decodeHvEnableVpVtl,
  HvCall,
  type HvControl,
  type HvResult,
  HvStatus,
} from '@heki/hypercall/hyperv';
import type { Partition, VirtualProcessor } from '../partition/partition.ts';
import { type CallSize, callSize } from './call-size.ts';
import { modifyVtlProtectionMask } from './modify-protection.ts';
import { getVpRegisters, setVpRegisters } from './vp-registers.ts';

/** A hypercall's answer, and the bytes that it writes to the caller's output. */
export interface Answer extends HvResult {
  readonly output: Uint8Array;
}

const NOTHING = new Uint8Array();

/** The bytes of a caller's input, or the status when they cannot be had. */
export type ReadInput = (size: CallSize) => Uint8Array | number;

/** Answers a hypercall of a VTL, except the two that switch between them. */
export function answerHypercall(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  control: bigint,
  read: ReadInput,
): Answer {
  partition.statistics.hypercalls++;
  const code = Number(control & 0xffffn);
  const answer = dispatch(partition, processor, callerVtl, code, decodeHvControl(control), read);
  const { status, repsCompleted } = answer;
  partition.emit?.({ type: 'hypercall', vtl: callerVtl, code, status, repsCompleted });
  return answer;
}

/** {@link answerHypercall} for VTL1, whose input is at hand as bytes. */
export function answerVtl1(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  control: bigint,
  input: Uint8Array,
): Answer {
  return answerHypercall(partition, processor, 1, control, (size) =>
    input.length < size.input ? HvStatus.INVALID_HYPERCALL_INPUT : input,
  );
}

function dispatch(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  code: number,
  control: HvControl | undefined,
  read: ReadInput,
): Answer {
  const simple = (status: number): Answer => ({ status, repsCompleted: 0, output: NOTHING });
  const size = callSize(control, code);
  if (typeof size === 'number') return simple(size);
  if (control === undefined) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
  const input = read(size);
  if (typeof input === 'number') return simple(input);
  switch (code) {
    case HvCall.MODIFY_VTL_PROTECTION_MASK:
      return { ...modifyVtlProtectionMask(partition, callerVtl, control, input), output: NOTHING };
    case HvCall.SET_VP_REGISTERS:
      return { ...setVpRegisters(partition, processor, callerVtl, control, input), output: NOTHING };
    case HvCall.GET_VP_REGISTERS:
      return getVpRegisters(partition, processor, callerVtl, control, input);
    case HvCall.ENABLE_PARTITION_VTL: {
      const decoded = decodeHvEnablePartitionVtl(input);
      // The loader enabled VTL1 before the guest ran, and there is no VTL2.
      if (!decoded.ok || decoded.message.vtl !== 1) return simple(HvStatus.INVALID_PARAMETER);
      return simple(HvStatus.VTL_ALREADY_ENABLED);
    }
    case HvCall.ENABLE_VP_VTL: {
      const decoded = decodeHvEnableVpVtl(input);
      if (!decoded.ok) return simple(HvStatus.INVALID_PARAMETER);
      if (partition.processors[decoded.message.vp] === undefined) return simple(HvStatus.INVALID_VP_INDEX);
      return simple(decoded.message.vtl === 1 ? HvStatus.VTL_ALREADY_ENABLED : HvStatus.INVALID_PARAMETER);
    }
    default:
      return simple(HvStatus.INVALID_HYPERCALL_CODE);
  }
}
