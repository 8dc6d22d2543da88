import type { EarlyInitResult, LateInitResult } from '@heki/guest';
import { hex, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import type { Warning } from '../warning.ts';

/** Why a kernel is not protected. */
export interface Refusal {
  /** The outcome of early or late init, or `request-refused`. */
  readonly outcome: string;
  /** One sentence for people, without a full stop. */
  readonly message: string;
  /** The error number that a request was answered with; `null` where there was none. */
  readonly error: number | null;
}

/** Why Heki's two steps of boot did not come to protect the kernel; `undefined` when they did. */
export function initRefusal(early: EarlyInitResult, late: LateInitResult): Refusal | undefined {
  const message = earlyRefusal(early);
  if (message !== undefined) return { outcome: early.outcome, message, error: null };
  if (late.outcome === 'protected') return undefined;
  const error = 'error' in late ? late.error : null;
  if (late.outcome === 'walk-stopped') {
    return { outcome: late.outcome, message: endless(late.stoppedAt), error };
  }
  return { outcome: late.outcome, message: `Heki gave up: ${LATE[late.outcome]}`, error };
}

/** Whether late init got as far as protecting the memory. */
export function protectsMemory({ outcome }: LateInitResult): boolean {
  return outcome === 'protected' || outcome === 'end-of-boot-refused';
}

function endless(stoppedAt: VirtualFrame): string {
  return `the kernel's page tables have no end: the walk stopped at ${hex(virtualAddressOf(stoppedAt))}, and nothing is protected`;
}

/** Why Heki does not even count mappings. */
export function earlyRefusal(early: EarlyInitResult): string | undefined {
  switch (early.outcome) {
    case 'counting':
      return undefined;
    case 'not-built':
      return `Heki is not in this kernel: ${early.reasons.join('; ')}`;
    case 'disabled':
      return 'Heki is switched off on the command line';
    case 'kaslr':
      return 'Heki refuses: the kernel is built with KASLR (CONFIG_RANDOMIZE_BASE), and looks at fixed addresses';
    case 'walk-stopped':
      return endless(early.stoppedAt);
    case 'no-hypervisor':
      return 'Heki found no hypervisor that supports it';
  }
}

const LATE: Readonly<Record<Exclude<LateInitResult['outcome'], 'protected' | 'walk-stopped'>, string>> = {
  'not-counting': 'mappings were not counted',
  'registers-refused': 'the hypervisor does not pin the control registers',
  'memory-refused': 'the hypervisor does not protect the memory',
  'end-of-boot-refused': 'memory is protected, but the secure kernel goes on taking requests',
};

/** What a reader must know where nothing is protected. */
export function notInForce(refusal: Refusal | undefined): Warning {
  const why = refusal === undefined ? '' : `: ${refusal.message}`;
  return { id: 'not-in-force', message: `nothing is protected${why}` };
}
