import type { Attack } from './attack.ts';
import type { AttackResult, Defence } from './attack-result.ts';

/** One attack, or one piece of legitimate work, without Heki and with it. */
export interface Comparison {
  readonly attack: Pick<Attack, 'legitimate'>;
  readonly without: Pick<AttackResult, 'outcome'>;
  readonly with: Pick<AttackResult, 'outcome' | 'by'>;
}

/** What the two say together. */
export type Standing =
  /** The attack succeeds without Heki, and the means of the hypervisor stop it. */
  | 'stopped-by-heki'
  /** It does not succeed, but Heki has no merit in that: page tables or the processor stop it, or it fails without Heki as well. */
  | 'stopped-anyway'
  | 'not-stopped'
  /** Legitimate work that goes on. */
  | 'works'
  /** Legitimate work that Heki breaks. */
  | 'broken'
  /** In one of the two there was nothing to attack: it counts neither as stopped nor as not stopped. */
  | 'not-tried';

const HEKI: ReadonlySet<Defence | null> = new Set(['second-level', 'cr-pin', 'register-pin', 'hypervisor']);

/** Judges an attack by its outcome without Heki and with it. */
export function standingOf({ attack, without, with: protectedResult }: Comparison): Standing {
  if (without.outcome === 'not-tried' || protectedResult.outcome === 'not-tried') return 'not-tried';
  if (protectedResult.outcome === 'succeeded') return attack.legitimate === true ? 'works' : 'not-stopped';
  if (without.outcome !== 'succeeded') return 'stopped-anyway';
  if (attack.legitimate === true) return 'broken';
  return HEKI.has(protectedResult.by) ? 'stopped-by-heki' : 'stopped-anyway';
}
