import { HvCall, type HvControl, HvStatus } from '@heki/hypercall/hyperv';

/** Bytes of a call's input and output; a call with elements is a repeated one. */
interface CallShape {
  readonly header: number;
  /** Of each element of the input. */
  readonly element?: number;
  /** Of the output for each element. */
  readonly output?: number;
}

const SHAPES: ReadonlyMap<number, CallShape> = new Map<number, CallShape>([
  [HvCall.MODIFY_VTL_PROTECTION_MASK, { header: 16, element: 8 }],
  [HvCall.SET_VP_REGISTERS, { header: 16, element: 32 }],
  [HvCall.GET_VP_REGISTERS, { header: 16, element: 4, output: 16 }],
  [HvCall.ENABLE_PARTITION_VTL, { header: 16 }],
  [HvCall.ENABLE_VP_VTL, { header: 240 }],
]);

/** Bytes that RDX and R8 hold, and those of a page, which neither input nor output may leave. */
const FAST_BYTES = 16;
const PAGE_BYTES = 4096;

/** Bytes of input and output that a control word asks for. */
export interface CallSize {
  readonly input: number;
  readonly output: number;
}

/**
 * What a control word asks for, or its status when it cannot be carried out. A code that is unknown comes before all else that is wrong with it (openvmm,
 * `Dispatcher::dispatch`). Reserved bits and the hypervisor above, at which openvmm does not look, are refused.
 */
export function callSize(control: HvControl | undefined, code: number): CallSize | number {
  const shape = SHAPES.get(code);
  if (shape === undefined) return HvStatus.INVALID_HYPERCALL_CODE;
  if (control === undefined || control.nested || control.variableHeader !== 0) {
    return HvStatus.INVALID_HYPERCALL_INPUT;
  }
  const { repCount, repStart, fast } = control;
  const { header, element, output = 0 } = shape;
  const repeats = element === undefined ? repCount === 0 && repStart === 0 : repStart < repCount;
  const size = { input: header + (element ?? 0) * repCount, output: output * repCount };
  const fits = fast
    ? size.input <= FAST_BYTES && size.output === 0
    : size.input <= PAGE_BYTES && size.output <= PAGE_BYTES;
  return repeats && fits ? size : HvStatus.INVALID_HYPERCALL_INPUT;
}
