import type { MachineEvent } from '../event.ts';
import { bytesAtEach, bytesOfAttack, createBytesAt } from './accessed-bytes.ts';
import type { AskHypervisor } from './ask.ts';
import type { Attack } from './attack.ts';
import type { AttackResult } from './attack-result.ts';
import type { Witness } from './attack-step.ts';
import { createAttacker } from './attacker.ts';
import type { KernelTargets } from './targets.ts';
import { defenceOf } from './verdict.ts';

/** Runs one attack on the virtual CPU of `witness`, and tells when it begins and ends. */
export function performAttack(
  options: Witness & {
    readonly attack: Attack;
    readonly targets: KernelTargets;
    readonly askHypervisor: AskHypervisor;
    readonly emit: (event: MachineEvent) => void;
  },
): AttackResult {
  const { attack, targets, emit } = options;
  const { name, title, run } = attack;
  emit({ type: 'attack-begins', attack: name, title });
  const bytesAt = createBytesAt(options);
  const before = bytesAtEach(bytesAt, [targets.text, targets.textAlias, targets.data]);
  const attacker = createAttacker({
    ...options,
    directMap: targets.directMap,
    called: `attack ${name}`,
    bytesAt,
  });
  const verdict = run(attacker, targets);
  const { decisive, outcome, target } = verdict;
  const stopped = outcome !== 'succeeded' && outcome !== 'not-tried';
  const by = stopped && decisive !== undefined ? defenceOf(decisive) : null;
  const bytes = bytesOfAttack(target, decisive, attacker.steps, before);
  const result: AttackResult = { name, ...verdict, by, steps: attacker.steps, bytes };
  emit({ type: 'attack-ends', result });
  return result;
}
