import { fault, type HvDecoded, viewOf } from './error.ts';

/** Types of synthetic messages (HV_MESSAGE_TYPE). */
export const HvMessageType = {
  UNMAPPED_GPA: 0x8000_0000,
  GPA_INTERCEPT: 0x8000_0001,
  MSR_INTERCEPT: 0x8001_0001,
  REGISTER_INTERCEPT: 0x8001_0006,
} as const;

/** Kind of access that was intercepted (HV_INTERCEPT_ACCESS_TYPE). */
export const HvAccess = { READ: 0, WRITE: 1, EXECUTE: 2 } as const;

/** What every intercept message says about the virtual processor. */
interface Header {
  readonly vp: number;
  /** Bytes of the instruction; 0 when the hypervisor did not decode it. 0 .. 15. */
  readonly instructionLength: number;
  /** A value of {@link HvAccess}. */
  readonly access: 0 | 1 | 2;
  readonly cpl: 0 | 3;
  readonly rip: bigint;
  readonly rflags: bigint;
}

/** A synthetic message about an access of a lower VTL that was intercepted. */
export type HvInterceptMessage = Header &
  (
    | {
        readonly type: 'gpa';
        readonly gpa: bigint;
        /** The linear address; `undefined` when there is none. */
        readonly gva: bigint | undefined;
        /** `gva` translates to `gpa`: not an access to a page table on the way. */
        readonly final: boolean;
      }
    | { readonly type: 'msr'; readonly msr: number; readonly value: bigint }
    | {
        readonly type: 'register';
        /** A value of `HvRegister`. */
        readonly register: number;
        /** Base address or selector in bits 63:0, limit in 79:64 for GDTR and IDTR. */
        readonly value: bigint;
      }
  );

/** Bytes of a message in the SynIC message page. */
export const HV_MESSAGE_SIZE = 256;
const PAYLOAD = 16;
const BODY = PAYLOAD + 40;
const PAYLOAD_SIZES = { gpa: 80, msr: 64, register: 64 } as const;

/** The 256 bytes of a message from the hypervisor. */
export function encodeHvIntercept(message: HvInterceptMessage): Uint8Array {
  const bytes = new Uint8Array(HV_MESSAGE_SIZE);
  const view = new DataView(bytes.buffer);
  const types = {
    gpa: HvMessageType.GPA_INTERCEPT,
    msr: HvMessageType.MSR_INTERCEPT,
    register: HvMessageType.REGISTER_INTERCEPT,
  };
  view.setUint32(0, types[message.type], true);
  view.setUint8(4, PAYLOAD_SIZES[message.type]);
  view.setUint32(PAYLOAD, message.vp, true);
  view.setUint8(PAYLOAD + 4, message.instructionLength & 0xf);
  view.setUint8(PAYLOAD + 5, message.access);
  view.setUint16(PAYLOAD + 6, message.cpl, true);
  view.setBigUint64(PAYLOAD + 24, message.rip, true);
  view.setBigUint64(PAYLOAD + 32, message.rflags, true);
  switch (message.type) {
    case 'gpa':
      view.setUint8(BODY + 5, (message.gva === undefined ? 0 : 1) | (message.final ? 2 : 0));
      view.setBigUint64(BODY + 8, message.gva ?? 0n, true);
      view.setBigUint64(BODY + 16, message.gpa, true);
      break;
    case 'msr':
      view.setUint32(BODY, message.msr, true);
      view.setBigUint64(BODY + 8, message.value >> 32n, true);
      view.setBigUint64(BODY + 16, message.value & 0xffff_ffffn, true);
      break;
    case 'register':
      view.setUint32(BODY + 4, message.register, true);
      view.setBigUint64(BODY + 8, BigInt.asUintN(64, message.value), true);
      view.setBigUint64(BODY + 16, BigInt.asUintN(64, message.value >> 64n), true);
      break;
  }
  return bytes;
}

/** Reads a message from any bytes. */
export function decodeHvIntercept(bytes: Uint8Array): HvDecoded<HvInterceptMessage> {
  const read = viewOf(bytes, HV_MESSAGE_SIZE);
  if (!read.ok) return read;
  const view = read.message;
  const access = view.getUint8(PAYLOAD + 5);
  if (access !== 0 && access !== 1 && access !== 2) return fault('access type', access, '0, 1 or 2');
  const header: Header = {
    vp: view.getUint32(PAYLOAD, true),
    instructionLength: view.getUint8(PAYLOAD + 4) & 0xf,
    access,
    cpl: (view.getUint16(PAYLOAD + 6, true) & 3) === 0 ? 0 : 3,
    rip: view.getBigUint64(PAYLOAD + 24, true),
    rflags: view.getBigUint64(PAYLOAD + 32, true),
  };
  const type = view.getUint32(0, true);
  switch (type) {
    case HvMessageType.GPA_INTERCEPT: {
      const info = view.getUint8(BODY + 5);
      const gva = (info & 1) === 0 ? undefined : view.getBigUint64(BODY + 8, true);
      const gpa = view.getBigUint64(BODY + 16, true);
      return { ok: true, message: { ...header, type: 'gpa', gva, gpa, final: (info & 2) !== 0 } };
    }
    case HvMessageType.MSR_INTERCEPT: {
      const low = view.getBigUint64(BODY + 16, true) & 0xffff_ffffn;
      const value = ((view.getBigUint64(BODY + 8, true) & 0xffff_ffffn) << 32n) | low;
      return { ok: true, message: { ...header, type: 'msr', msr: view.getUint32(BODY, true), value } };
    }
    case HvMessageType.REGISTER_INTERCEPT: {
      const value = view.getBigUint64(BODY + 8, true) | (view.getBigUint64(BODY + 16, true) << 64n);
      const register = view.getUint32(BODY + 4, true);
      return { ok: true, message: { ...header, type: 'register', register, value } };
    }
    default:
      return fault('message type', type, 'a GPA, MSR or register intercept');
  }
}
