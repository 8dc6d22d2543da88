import { Errno } from '../errno.ts';

/**
 * Numbers of KVM hypercalls (Linux uapi kvm_para.h, and Heki v2 2/19 and 11/19 for 13 and 14).
 *
 * A kernel without Heki answers 13 and 14 with -{@link KvmError.ENOSYS}.
 */
export const KvmHypercall = {
  VAPIC_POLL: 1,
  KICK_CPU: 5,
  CLOCK_PAIRING: 9,
  SEND_IPI: 10,
  SCHED_YIELD: 11,
  MAP_GPA_RANGE: 12,
  /** RBX: control register (0 or 4), RCX: bits to pin, RDX: flags ({@link LOCK_CR_UPDATE_VERSION}). */
  LOCK_CR_UPDATE: 13,
  /** RBX: guest-physical address of the newest page of a page list. */
  PROTECT_MEMORY: 14,
  /**
   * Requests to an owner of the guest's code, from here to {@link CODE_JIT}: this project's addition, in no series.
   *
   * RBX: guest-physical address of the list of a {@link CodeSeal}; RCX: flags ({@link CODE_VERSION}).
   */
  CODE_SEAL: 15,
  /** RBX: guest-physical address of the list of a {@link CodeLoad}. The number of the image, from 1 on. */
  CODE_LOAD: 16,
  /** RBX: guest-physical address of a page of {@link CodePoke}s. */
  CODE_POKE: 17,
  /** RBX: number of the image; RCX: 0 all of it, 1 its init parts. */
  CODE_RETIRE: 18,
  /** RBX: number of the template, and of its target in the upper half; RCX: guest-physical address of the page; RDX: its virtual address. */
  CODE_TRAMPOLINE: 19,
  /** RDX: a {@link CodeJit}, which says what RBX and RCX are. */
  CODE_JIT: 20,
  /**
   * No argument: boot has ended, nothing more is asked for. This project's addition for owners of a policy outside the guest, after
   * the call of LVBS; 0x48454b49 is `HEKI` in ASCII. No series has it.
   */
  HEKI_END_OF_BOOT: 0x48454b49,
} as const;

/** Flag in RDX of {@link KvmHypercall.LOCK_CR_UPDATE}: ask for {@link HEKI_ABI_VERSION} instead of pinning. */
export const LOCK_CR_UPDATE_VERSION = 1;

/** What {@link KvmHypercall.CODE_JIT} is asked for. A program is named by the number of its pack, and its slot of 64 bytes in the upper half. */
export const CodeJit = {
  /** RBX: guest-physical address of the list of a {@link CodeSeal} with one part and no states, the pack. The number of the pack, from 1 on. */
  MAKE_PACK: 0,
  /** RBX: guest-physical address of the list of a {@link CodeLoad} with a file alone, the compiled program; RCX: where it shall be. */
  ADD_PROGRAM: 1,
  /** RCX: the program. */
  REMOVE_PROGRAM: 2,
} as const;

/** Flag in RCX of {@link KvmHypercall.CODE_SEAL}: ask for {@link CODE_ABI_VERSION} instead of sealing. */
export const CODE_VERSION = 1;

/** What {@link CODE_VERSION} answers where an owner of code is there; elsewhere it is -{@link KvmError.ENOSYS}. 2: with {@link KvmHypercall.CODE_JIT}. */
export const CODE_ABI_VERSION = 2;

/** What {@link LOCK_CR_UPDATE_VERSION} answers (Heki v2 2/19). */
export const HEKI_ABI_VERSION = 1;

/**
 * Registers of a KVM hypercall, executed by VMCALL (Intel) or VMMCALL (AMD). No other register changes. A caller
 * outside 64-bit mode has the number, the arguments and the result cut to 32 bits; one with CPL other than 0 gets
 * -{@link KvmError.EPERM} (Linux Documentation/virt/kvm/x86/hypercalls.rst).
 */
export const KVM_HYPERCALL_REGISTERS = {
  number: 'rax',
  arguments: ['rbx', 'rcx', 'rdx', 'rsi'],
  result: 'rax',
} as const;

/**
 * Error numbers of KVM hypercalls; a result holds them negated (Linux uapi kvm_para.h). The kernel's own error
 * numbers of the setter leak through number 14 unchanged; EPERM and EINVAL coincide, ENOMEM (12) has no KVM twin.
 */
export const KvmError = {
  EPERM: Errno.EPERM,
  E2BIG: Errno.E2BIG,
  ENOMEM: Errno.ENOMEM,
  EFAULT: Errno.EFAULT,
  EINVAL: Errno.EINVAL,
  EOPNOTSUPP: Errno.EOPNOTSUPP,
  ENOSYS: 1000,
} as const;

const errorNames = new Map<number, string>(
  Object.entries(KvmError).map(([name, number]) => [-number, `-KVM_${name}`]),
);
errorNames.set(-KvmError.ENOMEM, '-ENOMEM');

/** A hypercall's result as text: `0`, `1`, `-KVM_EINVAL`, or the number itself when it is not a known error. */
export function hypercallResultText(result: number): string {
  return errorNames.get(result) ?? String(result);
}
