import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { REGISTERS } from '../kit-memory.ts';
import { require } from '../setup.ts';

const EFER_MSR = 0xc000_0080;

/** A trampoline's steps after INIT: protected mode, PAE, long mode, paging; then the kit's registers and one bit more. */
export function startAfterInit(vcpu: Vcpu, also?: { readonly register: 0 | 4; readonly bit: bigint }): void {
  const { cr3, efer, rip, codeSegment64 } = REGISTERS;
  const cr0 = REGISTERS.cr0 | (also?.register === 0 ? also.bit : 0n);
  const cr4 = REGISTERS.cr4 | (also?.register === 4 ? also.bit : 0n);
  const steps = [
    vcpu.movToCr(0, CR0.PE | CR0.ET),
    vcpu.movToCr(4, CR4.PAE),
    vcpu.movToCr(3, cr3),
    vcpu.wrmsr(EFER_MSR, efer & ~EFER.LMA),
    vcpu.movToCr(0, cr0),
    vcpu.movToCr(4, cr4),
  ];
  require(steps.every(({ kind }) => kind === 'done'), 'a processor that took INIT cannot start');
  // A far jump into 64-bit code, which is not intercepted.
  Object.assign(vcpu.registers, { rip, codeSegment64 });
}
