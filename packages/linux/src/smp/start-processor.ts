import { addressOf, type VirtualAddress } from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { completed } from '../mm/vcpu-memory.ts';
import { KernelStop } from '../outcome.ts';
import type { SmpState } from './smp-state.ts';
import type { StartFailure, StartPhase } from './start-failure.ts';
import { trampolineRoot, trampolineText } from './trampoline.ts';

/** IA32_EFER. */
const MSR_EFER = 0xc000_0080;
/** Bytes of code looked at in each phase. */
const CODE = 4;

/**
 * Takes `vcpu`, which has got INIT and a start-up IPI, from real mode through the trampoline into the kernel
 * (arch/x86/realmode/rm/trampoline_64.S, then secondary_startup_64): paging is off at first, so only the second level judges the fetches;
 * then the trampoline's page tables are used, then the kernel's. The control registers become those of `like`, a
 * processor that runs. What stopped it, or `undefined`.
 */
export function startProcessor(
  kernel: SmpState,
  vcpu: Vcpu,
  like: { readonly cr0: bigint; readonly cr4: bigint; readonly efer: bigint },
): StartFailure | undefined {
  const text = BigInt(addressOf(trampolineText(kernel))) as VirtualAddress;
  let phase: StartPhase = 'real-mode';
  const execute = (outcome: Outcome): void => {
    completed(outcome, 'instruction', vcpu.registers.rip);
  };
  const fetch = (address: VirtualAddress): void => {
    completed(vcpu.fetch(address, CODE), 'fetch', address);
  };
  const la57 = like.cr4 & CR4.LA57;
  try {
    fetch(text);
    phase = 'protected-mode';
    execute(vcpu.movToCr(0, CR0.PE | CR0.ET));
    fetch((text + 0x100n) as VirtualAddress);
    phase = 'long-mode';
    execute(vcpu.movToCr(4, CR4.PAE | la57));
    execute(vcpu.movToCr(3, BigInt(addressOf(trampolineRoot(kernel)))));
    execute(vcpu.wrmsr(MSR_EFER, like.efer & ~EFER.LMA));
    execute(vcpu.movToCr(0, like.cr0));
    // The far jump to 64-bit code.
    vcpu.registers.codeSegment64 = true;
    fetch((text + 0x200n) as VirtualAddress);
    phase = 'kernel';
    execute(vcpu.movToCr(3, BigInt(addressOf(kernel.tables.root))));
    fetch(kernel.image.address('_text'));
    execute(vcpu.movToCr(4, like.cr4));
    return undefined;
  } catch (stop) {
    if (!(stop instanceof KernelStop) || stop.outcome.kind !== 'oops') throw stop;
    const { access, address, outcome } = stop.outcome;
    return { phase, access: access === 'fetch' ? 'fetch' : 'instruction', address, outcome };
  }
}
