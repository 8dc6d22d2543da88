import { HypercallError } from './error.ts';

/** Where `exit_reason` (u32) lies in `struct kvm_run` (Linux uapi kvm.h). */
export const KVM_RUN_EXIT_REASON_OFFSET = 8;
/** Where the union of exit payloads lies in `struct kvm_run`. */
export const KVM_RUN_PAYLOAD_OFFSET = 32;
/** Bytes of the payload of either Heki exit: `reason`, then a union of the value with `reserved[7]`. */
export const HEKI_EXIT_PAYLOAD_SIZE = 64;
/** Bytes of the payload of KVM_EXIT_HYPERCALL: `nr`, six arguments, `ret` and `flags`. */
export const HYPERCALL_EXIT_PAYLOAD_SIZE = 72;
/** KVM_EXIT_HYPERCALL_LONG_MODE in `flags`. */
export const KVM_EXIT_HYPERCALL_LONG_MODE = 1 << 0;
/** Bytes of the payload of KVM_EXIT_MEMORY_FAULT. */
export const MEMORY_FAULT_PAYLOAD_SIZE = 24;

/** The payload of KVM_EXIT_HEKI_CONFIGURE or KVM_EXIT_HEKI_DENIAL (Heki v2 3/19). */
export interface HekiExitPayload {
  /** KVM_HEKI_EXIT_REASON_CR0 or KVM_HEKI_EXIT_REASON_CR4. */
  readonly reason: bigint;
  /** `cr_pinned`: what this call pinned (CONFIGURE); `cr_value`: what the guest tried to write (DENIAL). */
  readonly value: bigint;
}

/** The 64 bytes of `payload` at {@link KVM_RUN_PAYLOAD_OFFSET}; KVM clears `reserved` before it stores the value. */
export function encodeHekiExit(payload: HekiExitPayload): Uint8Array {
  const bytes = new Uint8Array(HEKI_EXIT_PAYLOAD_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, payload.reason, true);
  view.setBigUint64(8, payload.value, true);
  return bytes;
}

/** @throws {HypercallError} when `bytes` is shorter than {@link HEKI_EXIT_PAYLOAD_SIZE} */
export function decodeHekiExit(bytes: Uint8Array): HekiExitPayload {
  const view = viewOf(bytes, HEKI_EXIT_PAYLOAD_SIZE);
  return { reason: view.getBigUint64(0, true), value: view.getBigUint64(8, true) };
}

/** The payload of KVM_EXIT_HYPERCALL as KVM fills it; user space writes its answer to `ret`. */
export interface HypercallExitPayload {
  readonly number: bigint;
  /** At most six; the rest is 0. */
  readonly arguments: readonly bigint[];
  /** KVM_EXIT_HYPERCALL_LONG_MODE. */
  readonly flags: bigint;
}

/** Where `flags` lies in the payload of KVM_EXIT_HYPERCALL; `ret` is before it. */
const HYPERCALL_EXIT_FLAGS_OFFSET = 64;

/** The 72 bytes of `payload` at {@link KVM_RUN_PAYLOAD_OFFSET}, with `ret` 0. */
export function encodeHypercallExit(payload: HypercallExitPayload): Uint8Array {
  const bytes = new Uint8Array(HYPERCALL_EXIT_PAYLOAD_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, payload.number, true);
  for (const [index, argument] of payload.arguments.slice(0, 6).entries()) {
    view.setBigUint64(8 + 8 * index, argument, true);
  }
  view.setBigUint64(HYPERCALL_EXIT_FLAGS_OFFSET, payload.flags, true);
  return bytes;
}

/** @throws {HypercallError} when `bytes` is shorter than {@link HYPERCALL_EXIT_PAYLOAD_SIZE} */
export function decodeHypercallExit(bytes: Uint8Array): HypercallExitPayload {
  const view = viewOf(bytes, HYPERCALL_EXIT_PAYLOAD_SIZE);
  return {
    number: view.getBigUint64(0, true),
    arguments: Array.from({ length: 6 }, (_, index) => view.getBigUint64(8 + 8 * index, true)),
    flags: view.getBigUint64(HYPERCALL_EXIT_FLAGS_OFFSET, true),
  };
}

/**
 * Flags of KVM_EXIT_MEMORY_FAULT: what the access wanted. Upstream has only PRIVATE (bit 3); bits 0 to 2 are those that the
 * proposal of NR, NW and NX gives them.
 */
export const KvmMemoryExitFlag = { READ: 1 << 0, WRITE: 1 << 1, EXEC: 1 << 2 } as const;

/** The payload of KVM_EXIT_MEMORY_FAULT. */
export interface MemoryFaultPayload {
  /** KVM_MEMORY_EXIT_FLAG_PRIVATE is bit 3. */
  readonly flags: bigint;
  readonly gpa: bigint;
  /** Bytes; KVM on x86 always says 4096. */
  readonly size: bigint;
}

/** The 24 bytes of `payload`. */
export function encodeMemoryFaultExit(payload: MemoryFaultPayload): Uint8Array {
  const bytes = new Uint8Array(MEMORY_FAULT_PAYLOAD_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, payload.flags, true);
  view.setBigUint64(8, payload.gpa, true);
  view.setBigUint64(16, payload.size, true);
  return bytes;
}

/** @throws {HypercallError} when `bytes` is shorter than {@link MEMORY_FAULT_PAYLOAD_SIZE} */
export function decodeMemoryFaultExit(bytes: Uint8Array): MemoryFaultPayload {
  const view = viewOf(bytes, MEMORY_FAULT_PAYLOAD_SIZE);
  return {
    flags: view.getBigUint64(0, true),
    gpa: view.getBigUint64(8, true),
    size: view.getBigUint64(16, true),
  };
}

function viewOf(bytes: Uint8Array, size: number): DataView {
  if (bytes.length < size) {
    throw new HypercallError(`exit payload of ${bytes.length} bytes: expected at least ${size}`);
  }
  return new DataView(bytes.buffer, bytes.byteOffset, size);
}
