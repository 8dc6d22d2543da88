import type { AttackResult } from './attack-result.ts';
import type { Attacker } from './attacker.ts';
import type { AttackClaim } from './claim.ts';
import type { KernelTargets } from './targets.ts';

/** An attack with the attacker's means alone: instructions of the kernel at CPL 0. */
export interface Attack {
  /** Small letters, digits and hyphens, as {@link isAttackName} has it: `store-text`. */
  readonly name: string;
  /** `store to kernel text`. */
  readonly title: string;
  /** What a success would mean, in one sentence. */
  readonly meaning: string;
  /** Whether it is work that protection must not break, rather than an attack. Default false. */
  readonly legitimate?: boolean | undefined;
  /** Who claims to stop it; `undefined` when none does, and for legitimate work. */
  readonly claim?: AttackClaim | undefined;
  /** The target without which there is nothing to attack, where it is about one part of what is attacked. */
  readonly part?: 'text' | 'data' | undefined;
  /** It needs a kernel that was built with Heki and lives: a snapshot of any other does not have what it is about. Default false. */
  readonly needsHekiKernel?: boolean | undefined;
  run(attacker: Attacker, targets: KernelTargets): AttackVerdict;
}

/** What an attack finds; its steps are the attacker's records. */
export type AttackVerdict = Pick<AttackResult, 'outcome' | 'target' | 'decisive' | 'reason'>;

/** Whether `text` can be the name of an attack. */
export function isAttackName(text: string): boolean {
  return /^[a-z0-9]+(-[a-z0-9]+){0,15}$/.test(text) && text.length <= 64;
}
