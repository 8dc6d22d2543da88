import { XenAccess } from './access.ts';
import type { XenDecoded, XenWireFault } from './error.ts';

/** Subcommands of HVMOP_altp2m (xen/include/public/hvm/hvm_op.h). */
export const Altp2mCommand = {
  GET_DOMAIN_STATE: 1,
  SET_DOMAIN_STATE: 2,
  /** A virtual CPU gets #VE, with its information page at a frame. */
  VCPU_ENABLE_NOTIFY: 3,
  CREATE_VIEW: 4,
  DESTROY_VIEW: 5,
  SWITCH_VIEW: 6,
  SET_MEM_ACCESS: 7,
  CHANGE_GFN: 8,
  SET_MEM_ACCESS_MULTI: 9,
  SET_SUPPRESS_VE: 10,
  GET_SUPPRESS_VE: 11,
  GET_MEM_ACCESS: 12,
  VCPU_DISABLE_NOTIFY: 13,
  GET_VCPU_VIEW: 14,
  SET_SUPPRESS_VE_MULTI: 15,
  SET_VISIBILITY: 16,
} as const;

/** Who may use HVMOP_altp2m (XEN_ALTP2M_*). */
export const Altp2mMode = { DISABLED: 0, MIXED: 1, EXTERNAL: 2, LIMITED: 3 } as const;

/** HVMOP_ALTP2M_INTERFACE_VERSION. */
export const ALTP2M_INTERFACE_VERSION = 1;
/** Bytes of `struct xen_hvm_altp2m_op`: a header of 16 bytes and a union of 64. */
export const ALTP2M_OP_SIZE = 80;

/** `struct xen_hvm_altp2m_op`, with the part of the union that its command uses; the commands left out are refused. */
export type Altp2mOperation =
  | { readonly command: 1 | 2; readonly domain: number; readonly enabled: boolean }
  | { readonly command: 3; readonly domain: number; readonly vcpu: number; readonly frame: bigint }
  | { readonly command: 4; readonly domain: number; readonly view: number; readonly defaultAccess: number }
  | { readonly command: 5 | 6; readonly domain: number; readonly view: number }
  | {
      readonly command: 7 | 12;
      readonly domain: number;
      readonly view: number;
      readonly access: number;
      readonly frame: bigint;
    }
  | {
      readonly command: 8;
      readonly domain: number;
      readonly view: number;
      readonly from: bigint;
      /** Frame that is seen instead; ~0 undoes a change. */
      readonly to: bigint;
    }
  | {
      readonly command: 10 | 11;
      readonly domain: number;
      readonly view: number;
      readonly suppress: boolean;
      readonly frame: bigint;
    }
  | { readonly command: 13; readonly domain: number; readonly vcpu: number }
  | { readonly command: 14; readonly domain: number; readonly vcpu: number; readonly view: number }
  | { readonly command: 16; readonly domain: number; readonly view: number; readonly visible: boolean };

/** The 80 bytes of an operation. Numbers are cut to the width of their field. */
export function encodeAltp2mOperation(operation: Altp2mOperation): Uint8Array {
  const bytes = new Uint8Array(ALTP2M_OP_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ALTP2M_INTERFACE_VERSION, true);
  view.setUint32(4, operation.command, true);
  view.setUint16(8, operation.domain, true);
  switch (operation.command) {
    case 1:
    case 2:
      view.setUint8(16, operation.enabled ? 1 : 0);
      break;
    case 3:
      view.setUint32(16, operation.vcpu, true);
      view.setBigUint64(24, operation.frame, true);
      break;
    case 4:
      view.setUint16(16, operation.view, true);
      view.setUint16(18, operation.defaultAccess, true);
      break;
    case 5:
    case 6:
      view.setUint16(16, operation.view, true);
      break;
    case 7:
    case 12:
      view.setUint16(16, operation.view, true);
      view.setUint16(18, operation.access, true);
      view.setBigUint64(24, operation.frame, true);
      break;
    case 8:
      view.setUint16(16, operation.view, true);
      view.setBigUint64(24, operation.from, true);
      view.setBigUint64(32, operation.to, true);
      break;
    case 10:
    case 11:
      view.setUint16(16, operation.view, true);
      view.setUint8(18, operation.suppress ? 1 : 0);
      view.setBigUint64(24, operation.frame, true);
      break;
    case 13:
      view.setUint32(16, operation.vcpu, true);
      break;
    case 14:
      view.setUint32(16, operation.vcpu, true);
      view.setUint16(20, operation.view, true);
      break;
    case 16:
      view.setUint16(16, operation.view, true);
      view.setUint8(18, operation.visible ? 1 : 0);
      break;
  }
  return bytes;
}

/** Reads an operation from any bytes. */
export function decodeAltp2mOperation(bytes: Uint8Array): XenDecoded<Altp2mOperation> {
  const bad = (
    field: string,
    found: number | bigint,
    expected: string,
  ): { ok: false; fault: XenWireFault } => ({
    ok: false,
    fault: { field, found: BigInt(found), expected },
  });
  if (bytes.length < ALTP2M_OP_SIZE) return bad('length', bytes.length, `${ALTP2M_OP_SIZE} bytes`);
  const data = new DataView(bytes.buffer, bytes.byteOffset);
  const version = data.getUint32(0, true);
  if (version !== ALTP2M_INTERFACE_VERSION) return bad('version', version, String(ALTP2M_INTERFACE_VERSION));
  const command = data.getUint32(4, true);
  const domain = data.getUint16(8, true);
  const view = data.getUint16(16, true);
  const second = data.getUint16(18, true);
  const flag = (data.getUint8(18) & 1) !== 0;
  const vcpu = data.getUint32(16, true);
  const frame = data.getBigUint64(24, true);
  switch (command) {
    case 1:
    case 2:
      return { ok: true, message: { command, domain, enabled: (data.getUint8(16) & 1) !== 0 } };
    case 3:
      return { ok: true, message: { command, domain, vcpu, frame } };
    case 4:
      if (second > XenAccess.DEFAULT) return bad('default access', second, '0 to 10');
      return { ok: true, message: { command, domain, view, defaultAccess: second } };
    case 5:
    case 6:
      return { ok: true, message: { command, domain, view } };
    case 7:
    case 12:
      if (second > XenAccess.DEFAULT) return bad('access', second, '0 to 10');
      return { ok: true, message: { command, domain, view, access: second, frame } };
    case 8: {
      const to = data.getBigUint64(32, true);
      return { ok: true, message: { command, domain, view, from: frame, to } };
    }
    case 10:
    case 11:
      return { ok: true, message: { command, domain, view, suppress: flag, frame } };
    case 13:
      return { ok: true, message: { command, domain, vcpu } };
    case 14:
      return { ok: true, message: { command, domain, vcpu, view: data.getUint16(20, true) } };
    case 16:
      return { ok: true, message: { command, domain, view, visible: flag } };
    default:
      return bad('command', command, 'a command of Altp2mCommand other than the _MULTI ones');
  }
}
