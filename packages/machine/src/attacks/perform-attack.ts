import type { Vcpu, VcpuEvent } from '@heki/vcpu';
import type { MachineEvent } from '../event.ts';
import type { Attack, AttackResult } from './attack.ts';
import { createAttacker } from './attacker.ts';
import type { KernelTargets } from './targets.ts';
import { defenceOf } from './verdict.ts';

/** Runs one attack on `vcpu`, and tells when it begins and ends. `listen` subscribes to the virtual CPU's events. */
export function performAttack(options: {
  readonly attack: Attack;
  readonly targets: KernelTargets;
  readonly vcpu: Vcpu;
  readonly listen: (listener: (event: VcpuEvent) => void) => () => void;
  readonly emit: (event: MachineEvent) => void;
}): AttackResult {
  const { attack, targets, vcpu, listen, emit } = options;
  const { name, title, run } = attack;
  emit({ type: 'attack-begins', attack: name, title });
  const attacker = createAttacker({ vcpu, directMap: targets.directMap, listen });
  const verdict = run(attacker, targets);
  const { decisive } = verdict;
  const by = decisive === undefined ? null : defenceOf(decisive);
  const result: AttackResult = { name, ...verdict, by, steps: attacker.steps };
  emit({ type: 'attack-ends', result });
  return result;
}
