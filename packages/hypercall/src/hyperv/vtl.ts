import { fault, type HvDecoded, viewOf } from './error.ts';

/** Why a virtual processor entered a VTL, in its VP assist page (HV_VTL_ENTRY_REASON). */
export const HvVtlEntry = { VTL_CALL: 1, INTERRUPT: 2, INTERCEPT: 3 } as const;

/** Input of HvCallEnablePartitionVtl (0x000D). */
export interface HvEnablePartitionVtl {
  readonly partition: bigint;
  readonly vtl: number;
  /** Flags, bit 0: mode-based execute control can be opted for. */
  readonly mbec: boolean;
}

/** Input of HvCallEnableVpVtl (0x000F), without the initial context behind it, which is 224 bytes of VTL-private registers. */
export interface HvEnableVpVtl {
  readonly partition: bigint;
  readonly vp: number;
  readonly vtl: number;
}

/** Bytes of the input of HvCallEnableVpVtl. */
export const HV_ENABLE_VP_VTL_SIZE = 240;

export function encodeHvEnablePartitionVtl({ partition, vtl, mbec }: HvEnablePartitionVtl): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, partition, true);
  view.setUint8(8, vtl);
  view.setUint8(9, mbec ? 1 : 0);
  return bytes;
}

export function decodeHvEnablePartitionVtl(bytes: Uint8Array): HvDecoded<HvEnablePartitionVtl> {
  const read = viewOf(bytes, 16);
  if (!read.ok) return read;
  const view = read.message;
  const flags = view.getUint8(9);
  if ((flags & ~1) !== 0) return fault('flags', flags, '0 or 1');
  return {
    ok: true,
    message: { partition: view.getBigUint64(0, true), vtl: view.getUint8(8), mbec: flags === 1 },
  };
}

export function encodeHvEnableVpVtl({ partition, vp, vtl }: HvEnableVpVtl): Uint8Array {
  const bytes = new Uint8Array(HV_ENABLE_VP_VTL_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, partition, true);
  view.setUint32(8, vp, true);
  view.setUint8(12, vtl);
  return bytes;
}

export function decodeHvEnableVpVtl(bytes: Uint8Array): HvDecoded<HvEnableVpVtl> {
  const read = viewOf(bytes, HV_ENABLE_VP_VTL_SIZE);
  if (!read.ok) return read;
  const view = read.message;
  return {
    ok: true,
    message: { partition: view.getBigUint64(0, true), vp: view.getUint32(8, true), vtl: view.getUint8(12) },
  };
}
