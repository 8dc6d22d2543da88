import { XenAccess } from './access.ts';
import type { XenDecoded } from './error.ts';

/** What {@link XenMemAccessOp.op} asks for. */
export const XenMemAccessOpcode = { SET: 0, GET: 1, SET_MULTI: 4 } as const;

/** A first frame of ~0 means the default of the domain. */
export const XEN_DEFAULT_ACCESS_PFN = 0xffff_ffff_ffff_ffffn;

/** Bytes of `struct xen_mem_access_op`. */
export const XEN_MEM_ACCESS_OP_SIZE = 32;

/** `struct xen_mem_access_op`, the argument of XENMEM_access_op. */
export interface XenMemAccessOp {
  /** A value of {@link XenMemAccessOpcode}. */
  readonly op: number;
  /** A value of `XenAccess`; answered by GET. */
  readonly access: number;
  readonly domain: number;
  /** Frames: of a range from `pfn` on, or in the lists. */
  readonly count: number;
  /** First frame, or {@link XEN_DEFAULT_ACCESS_PFN}. */
  readonly pfn: bigint;
  /** Guest handles of the lists of SET_MULTI: u64 frames and u8 access types. */
  readonly pfnList: bigint;
  readonly accessList: bigint;
}

/** The 32 bytes of an operation. Numbers are cut to the width of their field. */
export function encodeXenMemAccessOp(operation: XenMemAccessOp): Uint8Array {
  const bytes = new Uint8Array(XEN_MEM_ACCESS_OP_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, operation.op);
  view.setUint8(1, operation.access);
  view.setUint16(2, operation.domain, true);
  view.setUint32(4, operation.count, true);
  view.setBigUint64(8, operation.pfn, true);
  view.setBigUint64(16, operation.pfnList, true);
  view.setBigUint64(24, operation.accessList, true);
  return bytes;
}

/** Reads an operation from any bytes. */
export function decodeXenMemAccessOp(bytes: Uint8Array): XenDecoded<XenMemAccessOp> {
  if (bytes.length < XEN_MEM_ACCESS_OP_SIZE) {
    const expected = `${XEN_MEM_ACCESS_OP_SIZE} bytes`;
    return { ok: false, fault: { field: 'length', found: BigInt(bytes.length), expected } };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const op = view.getUint8(0);
  const access = view.getUint8(1);
  if (!(Object.values(XenMemAccessOpcode) as number[]).includes(op)) {
    return { ok: false, fault: { field: 'op', found: BigInt(op), expected: '0, 1 or 4' } };
  }
  if (access > XenAccess.DEFAULT) {
    return { ok: false, fault: { field: 'access', found: BigInt(access), expected: '0 to 10' } };
  }
  return {
    ok: true,
    message: {
      op,
      access,
      domain: view.getUint16(2, true),
      count: view.getUint32(4, true),
      pfn: view.getBigUint64(8, true),
      pfnList: view.getBigUint64(16, true),
      accessList: view.getBigUint64(24, true),
    },
  };
}
