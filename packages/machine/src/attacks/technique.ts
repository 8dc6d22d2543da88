import type { VirtualAddress } from '@heki/physical-memory';
import type { AttackVerdict } from './attack.ts';
import type { AttackStep } from './attack-step.ts';
import type { Attacker, FoundEntry } from './attacker.ts';
import { explainStep, outcomeOf } from './verdict.ts';

/** The verdict about what has nothing to attack. */
export function notTried(reason: string): AttackVerdict {
  return { outcome: 'not-tried', target: undefined, decisive: undefined, reason };
}

/** The verdict when `step` decides by itself; `done` is the reason when it completed. */
export function judge(step: AttackStep, target: VirtualAddress | undefined, done: string): AttackVerdict {
  const outcome = outcomeOf(step);
  return { outcome, target, decisive: step, reason: outcome === 'succeeded' ? done : explainStep(step) };
}

/** Runs `attempt` between a change of the page-table entries that lead to `target` and the undoing of it. */
export function withEditedEntries(
  attacker: Attacker,
  target: VirtualAddress,
  change: (value: bigint) => bigint,
  attempt: () => AttackVerdict,
): AttackVerdict {
  const entries = attacker.findEntries(target);
  if (entries === undefined)
    return notTried('the page-table entries cannot be reached through the direct map');
  const edited: FoundEntry[] = [];
  let verdict: AttackVerdict | undefined;
  for (const entry of entries) {
    if (change(entry.value) === entry.value) continue;
    const { step } = attacker.store(entry.address, 8, change(entry.value));
    if (step.outcome !== 'done') {
      verdict = judge(step, target, '');
      break;
    }
    edited.push(entry);
  }
  if (verdict === undefined) {
    attacker.flush(target);
    verdict = attempt();
  }
  for (const { address, value } of edited) attacker.store(address, 8, value);
  attacker.flush(target);
  return verdict;
}
