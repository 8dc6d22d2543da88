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
import { modifyVtlProtectionMask } from './modify-protection.ts';
import { getVpRegisters, setVpRegisters } from './vp-registers.ts';

/** A hypercall's answer, and the bytes that it writes to the caller's output. */
export interface Answer extends HvResult {
  readonly output: Uint8Array;
}

const NOTHING = new Uint8Array();

/** Answers a hypercall of a VTL, except the two that switch between them. */
export function answerHypercall(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  control: bigint,
  input: Uint8Array,
): Answer {
  partition.statistics.hypercalls++;
  const word = decodeHvControl(control);
  const answer =
    word === undefined
      ? { status: HvStatus.INVALID_HYPERCALL_INPUT, repsCompleted: 0, output: NOTHING }
      : dispatch(partition, processor, callerVtl, word, input);
  const { status, repsCompleted } = answer;
  partition.emit?.({
    type: 'hypercall',
    vtl: callerVtl,
    code: Number(control & 0xffffn),
    status,
    repsCompleted,
  });
  return answer;
}

function dispatch(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  control: HvControl,
  input: Uint8Array,
): Answer {
  const simple = (status: number): Answer => ({ status, repsCompleted: 0, output: NOTHING });
  if (control.variableHeader !== 0 || control.nested) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
  switch (control.code) {
    case HvCall.MODIFY_VTL_PROTECTION_MASK:
      if (control.fast) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
      return { ...modifyVtlProtectionMask(partition, callerVtl, control, input), output: NOTHING };
    case HvCall.SET_VP_REGISTERS:
      if (control.fast) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
      return { ...setVpRegisters(partition, processor, callerVtl, control, input), output: NOTHING };
    case HvCall.GET_VP_REGISTERS:
      if (control.fast) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
      return getVpRegisters(partition, processor, callerVtl, control, input);
    case HvCall.ENABLE_PARTITION_VTL: {
      const decoded = decodeHvEnablePartitionVtl(input);
      if (control.repCount !== 0 || !decoded.ok) return simple(HvStatus.INVALID_HYPERCALL_INPUT);
      // The loader enabled VTL1 before the guest ran, and there is no VTL2.
      return simple(decoded.message.vtl === 1 ? HvStatus.VTL_ALREADY_ENABLED : HvStatus.INVALID_PARAMETER);
    }
    case HvCall.ENABLE_VP_VTL: {
      const decoded = decodeHvEnableVpVtl(input);
      if (control.repCount !== 0 || control.fast || !decoded.ok)
        return simple(HvStatus.INVALID_HYPERCALL_INPUT);
      if (partition.processors[decoded.message.vp] === undefined) return simple(HvStatus.INVALID_VP_INDEX);
      return simple(decoded.message.vtl === 1 ? HvStatus.VTL_ALREADY_ENABLED : HvStatus.INVALID_PARAMETER);
    }
    default:
      return simple(HvStatus.INVALID_HYPERCALL_CODE);
  }
}
