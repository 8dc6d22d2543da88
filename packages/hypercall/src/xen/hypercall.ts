/**
 * Numbers of Xen hypercalls (xen/include/public/xen.h). An HVM guest executes VMCALL or VMMCALL with the number in
 * RAX and the arguments in RDI, RSI, RDX, R10 and R8; the result comes in RAX.
 */
export const XenHypercall = {
  /** `__HYPERVISOR_memory_op`: sub-operation, argument address. */
  MEMORY_OP: 12,
  /** `__HYPERVISOR_hvm_op`: sub-operation, argument address. */
  HVM_OP: 34,
} as const;

/** Sub-operation of {@link XenHypercall.MEMORY_OP} that sets and gets access types: XENMEM_access_op. */
export const XENMEM_ACCESS_OP = 21;

/** Sub-operations of {@link XenHypercall.HVM_OP} (xen/include/public/hvm/hvm_op.h). */
export const HvmOp = {
  /** Sends a GUEST_REQUEST event to the monitor, if it asked for them; takes no argument. */
  GUEST_REQUEST_VM_EVENT: 24,
  ALTP2M: 25,
} as const;

/**
 * The requests of a Heki guest, in the registers that a GUEST_REQUEST event shows to the monitor. The layout is this
 * project's own: Xen gives none of them a meaning. RBX holds the number, RCX, RDX and R9 the arguments; the monitor
 * answers in RAX with 0, a positive value or a negative {@link XenError}.
 */
export const XenHekiRequest = {
  /** Answers {@link XEN_HEKI_VERSION}. */
  VERSION: 0x4845_4b49_0000_0000n,
  /** RCX: guest-physical address of the newest page of a page list, laid out as KVM's (Heki v2 11/19); RDX: flags. */
  PROTECT_MEMORY: 0x4845_4b49_0000_0001n,
  /** RCX: 0 or 4, the control register; RDX: the bits to pin. */
  PIN_CONTROL_REGISTER: 0x4845_4b49_0000_0002n,
} as const;

/** Flag in RDX of {@link XenHekiRequest.PROTECT_MEMORY}: user code may not execute the pages either. KVM's list has no word for it. */
export const XEN_HEKI_DENY_USER_EXECUTION = 1n;

/** Flag in RDX of {@link XenHekiRequest.PROTECT_MEMORY}: READ in the list counts for nothing, because a list cannot say no rights at all. */
export const XEN_HEKI_DENY_READING = 2n;

/** What {@link XenHekiRequest.VERSION} answers. */
export const XEN_HEKI_VERSION = 1;
