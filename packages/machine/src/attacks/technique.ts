import type { VirtualAddress } from '@heki/physical-memory';
import type { AttackVerdict } from './attack.ts';
import type { AttackStep } from './attack-result.ts';
import type { Attacker, FoundEntry } from './attacker.ts';
import { explainStep, outcomeOf, outcomeOfLeftOut } from './verdict.ts';

/** The verdict about what has nothing to attack. */
export function notTried(reason: string, target?: VirtualAddress): AttackVerdict {
  return { outcome: 'not-tried', target, decisive: undefined, reason };
}

/** The verdict when `step` decides by itself; `done` is the reason when it completed. */
export function judge(step: AttackStep, target: VirtualAddress | undefined, done: string): AttackVerdict {
  const outcome = outcomeOf(step);
  return { outcome, target, decisive: step, reason: outcome === 'succeeded' ? done : explainStep(step) };
}

/**
 * Stores one byte and looks whether it is there: a store that completes and leaves no trace is not a success. Nothing is read before,
 * so that this is the first access to the page, as in a real attack.
 *
 * @param done the reason when it is there
 */
export function storeAndLook(
  attacker: Attacker,
  target: VirtualAddress,
  byte: bigint,
  done: string,
): AttackVerdict {
  const { step } = attacker.store(target, 1, byte);
  if (step.outcome !== 'done') return judge(step, target, done);
  if (step.contentsAbsent) {
    const reason = 'the processor let the store through; the contents are not in the snapshot';
    return { outcome: 'succeeded', target, decisive: step, reason };
  }
  if (!step.withoutMemory && attacker.load(target, 1).value === byte) {
    return { outcome: 'succeeded', target, decisive: step, reason: done };
  }
  if (!step.withoutMemory && step.answered?.action.kind !== 'skip' && step.denial === undefined) {
    return {
      outcome: 'blocked',
      target,
      decisive: step,
      reason: 'the store completed and left no trace',
    };
  }
  return { outcome: outcomeOfLeftOut(step), target, decisive: step, reason: explainStep(step) };
}

/** Runs `attempt` between a change of the page-table entries that lead to `target` and the undoing of it. */
export function withEditedEntries(
  attacker: Attacker,
  target: VirtualAddress,
  change: (value: bigint) => bigint,
  attempt: () => AttackVerdict,
): AttackVerdict {
  const entries = attacker.findEntries(target);
  if (entries === undefined) {
    const reason = 'the page-table entries cannot be reached through the direct map';
    const last = attacker.steps.at(-1);
    const refused = last !== undefined && !['succeeded', 'not-tried'].includes(outcomeOf(last));
    return refused ? judge(last, target, reason) : notTried(reason, target);
  }
  const edited: FoundEntry[] = [];
  let verdict: AttackVerdict | undefined;
  for (const entry of entries) {
    if (change(entry.value) === entry.value) continue;
    const { step } = attacker.store(entry.address, 8, change(entry.value));
    if (outcomeOf(step) !== 'succeeded') {
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
