import type { DriverVcpu } from '../hypercall.ts';
import type { HekiPort } from '../kvm.ts';

/** One hypercall: RAX, RBX, RCX, RDX in hex. */
type RecordedCall = string;

/** A virtual CPU under a hypervisor that writes hypercalls down and answers as it is told. */
export interface RecordingVcpu extends DriverVcpu {
  readonly calls: RecordedCall[];
  /** What the hypervisor puts into RAX; `undefined` stops the VM instead. */
  answer: (number: number) => bigint | undefined;
}

export function createRecordingVcpu(): RecordingVcpu {
  const calls: RecordedCall[] = [];
  const vcpu: RecordingVcpu = {
    calls,
    answer: () => 0n,
    interruptContext: false,
    registers: { rax: 0xan, rbx: 0xbn, rcx: 0xcn, rdx: 0xdn, cr4: 0x6f0n },
    vmcall() {
      const { registers } = vcpu;
      const { rax, rbx, rcx, rdx } = registers;
      calls.push([rax, rbx, rcx, rdx].map((value) => value.toString(16)).join(' '));
      const result = vcpu.answer(Number(rax));
      if (result === undefined) return { kind: 'stopped', why: 'the VM is gone' };
      registers.rax = BigInt.asUintN(64, result);
      return { kind: 'done', value: undefined };
    },
  };
  return vcpu;
}

/** A guest core as far as drivers know it. */
export function createPort(): HekiPort {
  return { hypervisor: undefined };
}
