import type { XenDecoded, XenWireFault } from './error.ts';

/** VM_EVENT_INTERFACE_VERSION (xen/include/public/vm_event.h). */
export const VM_EVENT_INTERFACE_VERSION = 7;

/** Flags of a request or a reply, VM_EVENT_FLAG_*: masks. */
export const VmEventFlag = {
  /** The virtual CPU waits for the reply. */
  VCPU_PAUSED: 1 << 0,
  FOREIGN: 1 << 1,
  /** Reply: carry the instruction out by emulation, past the access type. */
  EMULATE: 1 << 2,
  EMULATE_NOWRITE: 1 << 3,
  TOGGLE_SINGLESTEP: 1 << 4,
  SET_EMUL_READ_DATA: 1 << 5,
  /** Reply: undo the register write. */
  DENY: 1 << 6,
  /** Reply: go on in the view {@link VmEvent.view}. */
  ALTERNATE_P2M: 1 << 7,
  /** Reply: take the registers from it. */
  SET_REGISTERS: 1 << 8,
} as const;

/** VM_EVENT_REASON_* that the model has. */
export const VmEventReason = {
  MEM_ACCESS: 1,
  WRITE_CTRLREG: 4,
  MOV_TO_MSR: 5,
  GUEST_REQUEST: 8,
  DESCRIPTOR_ACCESS: 13,
} as const;

/** Flags of a MEM_ACCESS event: masks. R, W and X are what the access wanted. */
export const MemAccessFlag = {
  R: 1 << 0,
  W: 1 << 1,
  X: 1 << 2,
  GLA_VALID: 1 << 3,
  FAULT_WITH_GLA: 1 << 4,
  FAULT_IN_GPT: 1 << 5,
} as const;

/** VM_EVENT_X86_*: which control register. */
export const VmEventControlRegister = { CR0: 0, CR3: 1, CR4: 2, XCR0: 3 } as const;

/** VM_EVENT_DESC_*: which descriptor-table register. */
export const VmEventDescriptor = { IDTR: 1, GDTR: 2, LDTR: 3, TR: 4 } as const;

/** Registers of an event in the order of their bytes: the first of `struct vm_event_regs_x86`. */
export const VM_EVENT_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rflags',
  'dr6',
  'dr7',
  'rip',
  'cr0',
  'cr2',
  'cr3',
  'cr4',
] as const;

/** The registers that an event carries. */
export type VmEventRegisters = { readonly [name in (typeof VM_EVENT_REGISTERS)[number]]: bigint };

/** What an event is about: the union `u`. */
export type VmEventDetail =
  | {
      readonly reason: 'mem-access';
      readonly frame: bigint;
      readonly offset: bigint;
      /** Meaningful with GLA_VALID. */
      readonly linear: bigint;
      /** {@link MemAccessFlag} bits. */
      readonly flags: number;
    }
  | {
      readonly reason: 'write-ctrlreg';
      /** A value of {@link VmEventControlRegister}. */
      readonly index: number;
      readonly value: bigint;
      readonly old: bigint;
    }
  | { readonly reason: 'mov-to-msr'; readonly msr: bigint; readonly value: bigint; readonly old: bigint }
  | { readonly reason: 'guest-request' }
  | {
      readonly reason: 'descriptor-access';
      /** A value of {@link VmEventDescriptor}. */
      readonly descriptor: number;
      readonly isWrite: boolean;
    };

/** A request of Xen or a reply of the monitor: both are `struct vm_event_st`. */
export interface VmEvent {
  /** {@link VmEventFlag} bits. */
  readonly flags: number;
  readonly vcpu: number;
  /** `altp2m_idx`: the view in use, or the one to switch to. */
  readonly view: number;
  readonly detail: VmEventDetail;
  readonly registers: VmEventRegisters;
}

/**
 * Bytes of one slot of the ring: 24 of head, 32 of detail, 192 of registers, the rest unused. Xen's structure has more
 * registers; the size of a slot is chosen here so that a page has as many slots as Xen's has, 8.
 */
export const VM_EVENT_SIZE = 384;
const DETAIL = 24;
const REGISTERS = 56;

const REASONS = {
  'mem-access': VmEventReason.MEM_ACCESS,
  'write-ctrlreg': VmEventReason.WRITE_CTRLREG,
  'mov-to-msr': VmEventReason.MOV_TO_MSR,
  'guest-request': VmEventReason.GUEST_REQUEST,
  'descriptor-access': VmEventReason.DESCRIPTOR_ACCESS,
} as const;

/** The bytes of a request or reply. Numbers are cut to the width of their field. */
export function encodeVmEvent(event: VmEvent): Uint8Array {
  const bytes = new Uint8Array(VM_EVENT_SIZE);
  const view = new DataView(bytes.buffer);
  const { detail } = event;
  view.setUint32(0, VM_EVENT_INTERFACE_VERSION, true);
  view.setUint32(4, event.flags, true);
  view.setUint32(8, REASONS[detail.reason], true);
  view.setUint32(12, event.vcpu, true);
  view.setUint16(16, event.view, true);
  switch (detail.reason) {
    case 'mem-access':
      view.setBigUint64(DETAIL, detail.frame, true);
      view.setBigUint64(DETAIL + 8, detail.offset, true);
      view.setBigUint64(DETAIL + 16, detail.linear, true);
      view.setUint32(DETAIL + 24, detail.flags, true);
      break;
    case 'write-ctrlreg':
      view.setUint32(DETAIL, detail.index, true);
      view.setBigUint64(DETAIL + 8, detail.value, true);
      view.setBigUint64(DETAIL + 16, detail.old, true);
      break;
    case 'mov-to-msr':
      view.setBigUint64(DETAIL, detail.msr, true);
      view.setBigUint64(DETAIL + 8, detail.value, true);
      view.setBigUint64(DETAIL + 16, detail.old, true);
      break;
    case 'descriptor-access':
      view.setUint8(DETAIL + 16, detail.descriptor);
      view.setUint8(DETAIL + 17, detail.isWrite ? 1 : 0);
      break;
    case 'guest-request':
      break;
  }
  for (const [index, name] of VM_EVENT_REGISTERS.entries()) {
    view.setBigUint64(REGISTERS + 8 * index, event.registers[name], true);
  }
  return bytes;
}

/** Reads a request or reply from any bytes. */
export function decodeVmEvent(bytes: Uint8Array): XenDecoded<VmEvent> {
  const bad = (field: string, found: number, expected: string): { ok: false; fault: XenWireFault } => ({
    ok: false,
    fault: { field, found: BigInt(found), expected },
  });
  if (bytes.length < VM_EVENT_SIZE) return bad('length', bytes.length, `${VM_EVENT_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const version = view.getUint32(0, true);
  if (version !== VM_EVENT_INTERFACE_VERSION) {
    return bad('version', version, String(VM_EVENT_INTERFACE_VERSION));
  }
  const detail = detailOf(view);
  if (detail === undefined) return bad('reason', view.getUint32(8, true), '1, 4, 5, 8 or 13');
  const registers = Object.fromEntries(
    VM_EVENT_REGISTERS.map((name, index) => [name, view.getBigUint64(REGISTERS + 8 * index, true)]),
  ) as VmEventRegisters;
  return {
    ok: true,
    message: {
      flags: view.getUint32(4, true),
      vcpu: view.getUint32(12, true),
      view: view.getUint16(16, true),
      detail,
      registers,
    },
  };
}

function detailOf(view: DataView): VmEventDetail | undefined {
  switch (view.getUint32(8, true)) {
    case VmEventReason.MEM_ACCESS:
      return {
        reason: 'mem-access',
        frame: view.getBigUint64(DETAIL, true),
        offset: view.getBigUint64(DETAIL + 8, true),
        linear: view.getBigUint64(DETAIL + 16, true),
        flags: view.getUint32(DETAIL + 24, true),
      };
    case VmEventReason.WRITE_CTRLREG:
      return {
        reason: 'write-ctrlreg',
        index: view.getUint32(DETAIL, true),
        value: view.getBigUint64(DETAIL + 8, true),
        old: view.getBigUint64(DETAIL + 16, true),
      };
    case VmEventReason.MOV_TO_MSR:
      return {
        reason: 'mov-to-msr',
        msr: view.getBigUint64(DETAIL, true),
        value: view.getBigUint64(DETAIL + 8, true),
        old: view.getBigUint64(DETAIL + 16, true),
      };
    case VmEventReason.GUEST_REQUEST:
      return { reason: 'guest-request' };
    case VmEventReason.DESCRIPTOR_ACCESS:
      return {
        reason: 'descriptor-access',
        descriptor: view.getUint8(DETAIL + 16),
        isWrite: view.getUint8(DETAIL + 17) !== 0,
      };
    default:
      return undefined;
  }
}
