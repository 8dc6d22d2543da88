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

/** The exception handlers of a Linux kernel, as far as they decide whether an instruction is tried again. */
export type ExceptionHandler = (vcpu: Vcpu, exception: Exception) => ExceptionDecision;

/** The two error codes that Linux takes for a possibly stale translation; exactly these. */
const STALE_WRITE = PageFaultCode.P | PageFaultCode.W;
const STALE_FETCH = PageFaultCode.P | PageFaultCode.ID;

/**
 * Linux's decisions: a page fault on a kernel address that may be spurious is checked against the page tables and
 * retried; everything else that the attacks can cause is an oops.
 *
 * @param options.memory guest-physical memory, which the handler reads the page tables from
 */
export function createExceptionHandler(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly cpu: CpuProfile;
  readonly spuriousFaults: SpuriousFaultRetry;
}): ExceptionHandler {
  const { memory, cpu, spuriousFaults } = options;
  let previous: { rip: bigint; address: bigint; errorCode: number } | undefined;

  /** Whether the page tables allow what the error code says was refused (`spurious_kernel_fault_check`). */
  function tablesAllow(vcpu: Vcpu, address: VirtualAddress, errorCode: number): boolean {
    const { outcome } = translate(
      vcpu.registers,
      memory,
      address,
      { kind: 'read', mode: 'implicit-supervisor' },
      cpu,
    );
    if (outcome.kind !== 'mapped') return false;
    if ((errorCode & PageFaultCode.W) !== 0 && !outcome.rights.writable) return false;
    return (errorCode & PageFaultCode.ID) === 0 || !outcome.rights.executeDisable;
  }

  return (vcpu, { vector, errorCode, cr2 }) => {
    if (vector !== Vector.PF || cr2 === undefined) return 'fatal';
    if (errorCode !== STALE_WRITE && errorCode !== STALE_FETCH) return 'fatal';
    const levels = (vcpu.registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
    if (virtualFrameOf(cr2) < upperHalfStart(levels)) return 'fatal';
    if (!tablesAllow(vcpu, cr2, errorCode)) return 'fatal';

    const { rip } = vcpu.registers;
    const again =
      previous !== undefined &&
      previous.rip === rip &&
      previous.address === cr2 &&
      previous.errorCode === errorCode;
    previous = again ? undefined : { rip, address: cr2, errorCode };
    return spuriousFaults === 'once' && again ? 'fatal' : 'retry';
  };
}
