import { fault, type HvDecoded, viewOf } from './error.ts';
import { readInputVtl, writeInputVtl } from './input-vtl.ts';

/** Names of virtual processor registers (HV_REGISTER_NAME). */
export const HvRegister = {
  PENDING_EVENT: 0x0001_0004,
  RIP: 0x0002_0010,
  CR0: 0x0004_0000,
  CR3: 0x0004_0002,
  CR4: 0x0004_0003,
  LDTR: 0x0006_0006,
  TR: 0x0006_0007,
  IDTR: 0x0007_0000,
  GDTR: 0x0007_0001,
  EFER: 0x0008_0001,
  APIC_BASE: 0x0008_0003,
  SYSENTER_CS: 0x0008_0005,
  SYSENTER_EIP: 0x0008_0006,
  SYSENTER_ESP: 0x0008_0007,
  STAR: 0x0008_0008,
  LSTAR: 0x0008_0009,
  CSTAR: 0x0008_000a,
  SFMASK: 0x0008_000b,
  /** What VTLs the partition has, and whether they are enabled. */
  VSM_PARTITION_STATUS: 0x000d_0004,
  /** {@link HvVsmPartitionConfig} bits. */
  VSM_PARTITION_CONFIG: 0x000d_0007,
  /** How VTL1 keeps VTL0: {@link HvSecureVtlConfig} bits. */
  VSM_SECURE_CONFIG_VTL0: 0x000d_0010,
  /** Which accesses of the VTL below to control registers are intercepted: {@link HvCrIntercept} bits. */
  CR_INTERCEPT_CONTROL: 0x000e_0000,
  CR_INTERCEPT_CR0_MASK: 0x000e_0001,
  CR_INTERCEPT_CR4_MASK: 0x000e_0002,
  CR_INTERCEPT_MISC_ENABLE_MASK: 0x000e_0003,
} as const;

/** HvRegisterVsmPartitionConfig. */
export const HvVsmPartitionConfig = {
  ENABLE_VTL_PROTECTION: 1n << 0n,
  /** Bits 4:1: protection of pages without a mask of their own. */
  DEFAULT_PROTECTION_SHIFT: 1n,
  ZERO_MEMORY_ON_RESET: 1n << 5n,
  DENY_LOWER_VTL_STARTUP: 1n << 6n,
  INTERCEPT_ACCEPTANCE: 1n << 7n,
  INTERCEPT_ENABLE_VTL_PROTECTION: 1n << 8n,
  INTERCEPT_PAGE: 1n << 12n,
} as const;

/** HvRegisterVsmVpSecureVtlConfig. */
export const HvSecureVtlConfig = { MBEC_ENABLED: 1n << 0n, TLB_LOCKED: 1n << 1n } as const;

/** HvRegisterCrInterceptControl, the bits up to SFMASK. */
export const HvCrIntercept = {
  CR0_WRITE: 1n << 0n,
  CR4_WRITE: 1n << 1n,
  XCR0_WRITE: 1n << 2n,
  MISC_ENABLE_READ: 1n << 3n,
  MISC_ENABLE_WRITE: 1n << 4n,
  LSTAR_READ: 1n << 5n,
  LSTAR_WRITE: 1n << 6n,
  STAR_READ: 1n << 7n,
  STAR_WRITE: 1n << 8n,
  CSTAR_READ: 1n << 9n,
  CSTAR_WRITE: 1n << 10n,
  APIC_BASE_READ: 1n << 11n,
  APIC_BASE_WRITE: 1n << 12n,
  EFER_READ: 1n << 13n,
  EFER_WRITE: 1n << 14n,
  GDTR_WRITE: 1n << 15n,
  IDTR_WRITE: 1n << 16n,
  LDTR_WRITE: 1n << 17n,
  TR_WRITE: 1n << 18n,
  SYSENTER_CS_WRITE: 1n << 19n,
  SYSENTER_EIP_WRITE: 1n << 20n,
  SYSENTER_ESP_WRITE: 1n << 21n,
  SFMASK_WRITE: 1n << 22n,
} as const;

/** An exception to deliver when the virtual processor next enters its VTL (HvRegisterPendingEvent, exception event). */
export interface HvPendingException {
  readonly vector: number;
  readonly errorCode: number;
  /** CR2 of a page fault. */
  readonly parameter: bigint;
}

const PENDING = 1n;
const DELIVER_ERROR_CODE = 1n << 8n;

/** The 128-bit value of {@link HvRegister.PENDING_EVENT}: vector in 31:16, error code in 63:32, parameter above. */
export function encodeHvPendingException({ vector, errorCode, parameter }: HvPendingException): bigint {
  return (
    PENDING |
    DELIVER_ERROR_CODE |
    (BigInt(vector & 0xffff) << 16n) |
    (BigInt(errorCode >>> 0) << 32n) |
    (BigInt.asUintN(64, parameter) << 64n)
  );
}

/** `undefined` when no exception event is pending in it. */
export function decodeHvPendingException(value: bigint): HvPendingException | undefined {
  if ((value & 0xfn) !== PENDING) return undefined;
  return {
    vector: Number((value >> 16n) & 0xffffn),
    errorCode: Number((value >> 32n) & 0xffff_ffffn),
    parameter: (value >> 64n) & 0xffff_ffff_ffff_ffffn,
  };
}

/** Which registers of which virtual processor: the header that both calls share. */
export interface HvRegisterTarget {
  readonly partition: bigint;
  /** Or `HV_VP_SELF`. */
  readonly vp: number;
  /** `undefined`: the caller's own. */
  readonly vtl: number | undefined;
}

/** Input of HvCallGetVpRegisters (0x0050). */
export interface HvGetRegisters extends HvRegisterTarget {
  /** Values of {@link HvRegister}. */
  readonly names: readonly number[];
}

/** Input of HvCallSetVpRegisters (0x0051). */
export interface HvSetRegisters extends HvRegisterTarget {
  /** Values of 128 bits. */
  readonly values: readonly { readonly name: number; readonly value: bigint }[];
}

const HEADER = 16;
const NAME = 4;
const ASSOCIATION = 32;
/** Registers that fit into an input page: names of 4 bytes, names with values of 32. */
export const HV_MOST_REGISTERS_GET = (4096 - HEADER) / NAME;
export const HV_MOST_REGISTERS_SET = 127;

function writeTarget(view: DataView, { partition, vp, vtl }: HvRegisterTarget): void {
  view.setBigUint64(0, partition, true);
  view.setUint32(8, vp, true);
  writeInputVtl(view, 12, vtl);
}

function readTarget(view: DataView): HvDecoded<HvRegisterTarget> {
  const vtl = readInputVtl(view, 12);
  if (!vtl.ok) return vtl;
  const zeros = view.getUint8(13) | view.getUint16(14, true);
  if (zeros !== 0) return fault('padding', zeros, '0');
  return {
    ok: true,
    message: {
      partition: view.getBigUint64(0, true),
      vp: view.getUint32(8, true),
      vtl: vtl.message,
    },
  };
}

export function encodeHvGetRegisters(input: HvGetRegisters): Uint8Array {
  const bytes = new Uint8Array(HEADER + NAME * input.names.length);
  const view = new DataView(bytes.buffer);
  writeTarget(view, input);
  for (const [i, name] of input.names.entries()) view.setUint32(HEADER + NAME * i, name, true);
  return bytes;
}

/** Reads the input of a call of `repCount` elements from any bytes. */
export function decodeHvGetRegisters(bytes: Uint8Array, repCount: number): HvDecoded<HvGetRegisters> {
  if (!(repCount >= 1 && repCount <= HV_MOST_REGISTERS_GET)) {
    return fault('rep count', Math.max(0, Math.trunc(repCount) || 0), `1 to ${HV_MOST_REGISTERS_GET}`);
  }
  const read = viewOf(bytes, HEADER + NAME * repCount);
  if (!read.ok) return read;
  const target = readTarget(read.message);
  if (!target.ok) return target;
  const names = Array.from({ length: repCount }, (_, i) => read.message.getUint32(HEADER + NAME * i, true));
  return { ok: true, message: { ...target.message, names } };
}

export function encodeHvSetRegisters(input: HvSetRegisters): Uint8Array {
  const bytes = new Uint8Array(HEADER + ASSOCIATION * input.values.length);
  const view = new DataView(bytes.buffer);
  writeTarget(view, input);
  for (const [i, { name, value }] of input.values.entries()) {
    const at = HEADER + ASSOCIATION * i;
    view.setUint32(at, name, true);
    view.setBigUint64(at + 16, BigInt.asUintN(64, value), true);
    view.setBigUint64(at + 24, BigInt.asUintN(64, value >> 64n), true);
  }
  return bytes;
}

/** Reads the input of a call of `repCount` elements from any bytes. */
export function decodeHvSetRegisters(bytes: Uint8Array, repCount: number): HvDecoded<HvSetRegisters> {
  if (!(repCount >= 1 && repCount <= HV_MOST_REGISTERS_SET)) {
    return fault('rep count', Math.max(0, Math.trunc(repCount) || 0), `1 to ${HV_MOST_REGISTERS_SET}`);
  }
  const read = viewOf(bytes, HEADER + ASSOCIATION * repCount);
  if (!read.ok) return read;
  const view = read.message;
  const target = readTarget(view);
  if (!target.ok) return target;
  const values = Array.from({ length: repCount }, (_, i) => {
    const at = HEADER + ASSOCIATION * i;
    const value = view.getBigUint64(at + 16, true) | (view.getBigUint64(at + 24, true) << 64n);
    return { name: view.getUint32(at, true), value };
  });
  return { ok: true, message: { ...target.message, values } };
}
