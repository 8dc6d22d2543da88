/** Call codes of hypercalls (TLFS, appendix A). */
export const HvCall = {
  MODIFY_VTL_PROTECTION_MASK: 0x000c,
  ENABLE_PARTITION_VTL: 0x000d,
  ENABLE_VP_VTL: 0x000f,
  VTL_CALL: 0x0011,
  VTL_RETURN: 0x0012,
  GET_VP_REGISTERS: 0x0050,
  SET_VP_REGISTERS: 0x0051,
  TRANSLATE_VIRTUAL_ADDRESS: 0x0052,
} as const;

/** Status codes in bits 15:0 of a result (TLFS, appendix B). */
export const HvStatus = {
  SUCCESS: 0,
  INVALID_HYPERCALL_CODE: 2,
  INVALID_HYPERCALL_INPUT: 3,
  INVALID_ALIGNMENT: 4,
  INVALID_PARAMETER: 5,
  ACCESS_DENIED: 6,
  OPERATION_DENIED: 8,
  INSUFFICIENT_MEMORY: 11,
  INVALID_PARTITION_ID: 13,
  INVALID_VP_INDEX: 14,
  INVALID_REGISTER_VALUE: 80,
  TIMEOUT: 120,
  VTL_ALREADY_ENABLED: 134,
} as const;

const names = new Map<number, string>(
  Object.entries(HvStatus).map(([name, status]) => [status, `HV_STATUS_${name}`]),
);

/** A status as the TLFS names it, or its number when it has no name here. */
export function hvStatusText(status: number): string {
  return names.get(status) ?? String(status);
}

/** The partition that makes the call: HV_PARTITION_ID_SELF. */
export const HV_PARTITION_SELF = 0xffff_ffff_ffff_ffffn;
/** The virtual processor that makes the call: HV_VP_INDEX_SELF. */
export const HV_VP_SELF = 0xffff_fffe;

/** The hypercall input value: RCX of the caller (TLFS 3.6). RDX and R8 hold the addresses of input and output. */
export interface HvControl {
  /** Bits 15:0: a value of {@link HvCall}. */
  readonly code: number;
  /** Bit 16: the input is in RDX and R8 themselves. */
  readonly fast: boolean;
  /** Bits 26:17: 8-byte pieces of a header that varies. */
  readonly variableHeader: number;
  /** Bit 31: for the hypervisor above. */
  readonly nested: boolean;
  /** Bits 43:32: elements of a repeated call; 0 for a simple one. */
  readonly repCount: number;
  /** Bits 59:48: the element to start with. */
  readonly repStart: number;
}

/** Bits 30:27, 47:44 and 63:60. */
const RESERVED = 0xf000_f000_7800_0000n;

/** A control word. Numbers are cut to the width of their field. */
export function encodeHvControl(control: Pick<HvControl, 'code'> & Partial<HvControl>): bigint {
  const { code, fast = false, variableHeader = 0, nested = false, repCount = 0, repStart = 0 } = control;
  return (
    BigInt(code & 0xffff) |
    (fast ? 1n << 16n : 0n) |
    (BigInt(variableHeader & 0x3ff) << 17n) |
    (nested ? 1n << 31n : 0n) |
    (BigInt(repCount & 0xfff) << 32n) |
    (BigInt(repStart & 0xfff) << 48n)
  );
}

/** Reads a control word; `undefined` when a reserved bit is set: HV_STATUS_INVALID_HYPERCALL_INPUT. */
export function decodeHvControl(value: bigint): HvControl | undefined {
  if ((value & RESERVED) !== 0n) return undefined;
  return {
    code: Number(value & 0xffffn),
    fast: (value & (1n << 16n)) !== 0n,
    variableHeader: Number((value >> 17n) & 0x3ffn),
    nested: (value & (1n << 31n)) !== 0n,
    repCount: Number((value >> 32n) & 0xfffn),
    repStart: Number((value >> 48n) & 0xfffn),
  };
}

/** The hypercall result value: RAX (TLFS 3.8). */
export interface HvResult {
  /** A value of {@link HvStatus}. */
  readonly status: number;
  /** Bits 43:32: elements done, those before the start included. Valid even when the status is an error. */
  readonly repsCompleted: number;
}

export function encodeHvResult({ status, repsCompleted }: HvResult): bigint {
  return BigInt(status & 0xffff) | (BigInt(repsCompleted & 0xfff) << 32n);
}

export function decodeHvResult(value: bigint): HvResult {
  return { status: Number(value & 0xffffn), repsCompleted: Number((value >> 32n) & 0xfffn) };
}
