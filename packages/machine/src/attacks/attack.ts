import type { AttackName, AttackResult } from './attack-result.ts';
import type { Attacker } from './attacker.ts';
import type { AttackClaim } from './claim.ts';
import type { KernelTargets } from './targets.ts';

/** An attack with the attacker's means alone: instructions of the kernel at CPL 0. */
export interface Attack {
  readonly name: AttackName;
  /** `store to kernel text`. */
  readonly title: string;
  /** What a success would mean, in one sentence. */
  readonly meaning: string;
  /** Whether it is no attack, but work that protection must not break. */
  readonly legitimate: boolean;
  /** Who claims to stop it; `undefined` when nobody does, and for legitimate work. */
  readonly claim: AttackClaim | undefined;
  run(attacker: Attacker, targets: KernelTargets): AttackVerdict;
}

/** What an attack finds; its steps are the attacker's records. */
export type AttackVerdict = Pick<AttackResult, 'outcome' | 'target' | 'decisive' | 'reason'>;
