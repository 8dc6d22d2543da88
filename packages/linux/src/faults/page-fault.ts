import { type Gfn, type PhysicalMemory, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { type Exception, type ExceptionDecision, type Vcpu, Vector } from '@heki/vcpu';
import { type CpuProfile, CR4, PageFaultCode, translate, upperHalfStart } from '@heki/x86';

/**
 * What Linux does about a fault on a kernel address that its own page tables say should not have happened. Lazy
 * flushing leaves stale, stricter TLB entries behind, so `spurious_kernel_fault` (arch/x86/mm/fault.c) returns to the
 * instruction, which then succeeds. A hypervisor that injects #PF for rights of its own (Heki v2 11/19) makes
 * every such fault look like that.
 *
 * - `for-ever`: Linux as it is. The attempt is retried without end: a livelock, which stops the attack and the
 *   CPU with it (the reason why the series runs its KUnit tests one at a time, Heki v2 19/19)
 * - `once`: a second fault, identical and with no progress since, cannot be a stale TLB entry, because the first one
 *   dropped it (SDM 3A 4.10.4.1). It is a denial, and the kernel oopses
 */
export type SpuriousFaultRetry = 'for-ever' | 'once';

/** The exception handlers of a Linux kernel, as far as they decide how an instruction ends. */
export type ExceptionHandler = (vcpu: Vcpu, exception: Exception) => ExceptionDecision;

/** The two error codes that Linux takes for a possibly stale translation of a kernel address; exactly these. */
const STALE_WRITE = PageFaultCode.P | PageFaultCode.W;
const STALE_FETCH = PageFaultCode.P | PageFaultCode.ID;
/**
 * A program's store to a page of its own: `handle_mm_fault` finds nothing to do, flushes (`flush_tlb_fix_spurious_fault`) and returns. A read or
 * fetch of a page that is present is a signal instead (`access_error`). Without U, as KVM derives the code from an EPT violation
 * (Heki v2 11/19), it is an oops, for which SMAP is taken to be on.
 */
const STALE_USER_WRITE = STALE_WRITE | PageFaultCode.U;

/**
 * Linux's decisions about an exception in the kernel: a page fault on a kernel address that may be spurious is checked against the
 * page tables and retried (`do_kern_addr_fault`); then the exception table is asked (`fixup_exception`); what is not in it is an
 * oops. An instruction that has a fix-up is retried for ever as well, because the order is this one.
 *
 * @param options.memory guest-physical memory, which the handler reads the page tables from
 * @param options.hasFixup whether the instruction at hand is in the exception table. Default: none is
 */
export function createExceptionHandler(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly cpu: CpuProfile;
  readonly spuriousFaults: SpuriousFaultRetry;
  readonly hasFixup?: (() => boolean) | undefined;
}): ExceptionHandler {
  const { memory, cpu, spuriousFaults, hasFixup = () => false } = options;
  let previous: { rip: bigint; address: bigint; errorCode: number } | undefined;

  /** Whether the page tables allow what the error code says was refused (`spurious_kernel_fault_check`). */
  function tablesAllow(vcpu: Vcpu, address: VirtualAddress, errorCode: number): boolean {
    const { outcome } = translate(
      vcpu.registers,
      memory,
      address,
      { kind: 'read', mode: (errorCode & PageFaultCode.U) === 0 ? 'implicit-supervisor' : 'user' },
      cpu,
    );
    if (outcome.kind !== 'mapped') return false;
    if ((errorCode & PageFaultCode.W) !== 0 && !outcome.rights.writable) return false;
    return (errorCode & PageFaultCode.ID) === 0 || !outcome.rights.executeDisable;
  }

  /** `spurious_kernel_fault`, and what `do_user_addr_fault` comes to for a store of a program that its page tables allow. */
  function isSpurious(vcpu: Vcpu, { vector, errorCode, cr2 }: Exception): boolean {
    if (vector !== Vector.PF || cr2 === undefined) return false;
    const levels = (vcpu.registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
    const stale =
      virtualFrameOf(cr2) < upperHalfStart(levels) ? [STALE_USER_WRITE] : [STALE_WRITE, STALE_FETCH];
    if (!stale.includes(errorCode)) return false;
    return tablesAllow(vcpu, cr2, errorCode);
  }

  /** Whether the same fault came last, with nothing between: then it starts anew. */
  function isRepeated(rip: bigint, address: bigint, errorCode: number): boolean {
    const again =
      previous !== undefined &&
      previous.rip === rip &&
      previous.address === address &&
      previous.errorCode === errorCode;
    previous = again ? undefined : { rip, address, errorCode };
    return again;
  }

  return (vcpu, exception) => {
    const { cr2, errorCode } = exception;
    if (cr2 !== undefined && isSpurious(vcpu, exception)) {
      const again = isRepeated(vcpu.registers.rip, cr2, errorCode);
      if (spuriousFaults === 'for-ever' || !again) return 'retry';
    }
    return hasFixup() ? 'fixup' : 'fatal';
  };
}
