import type { Machine } from '../machine.ts';
import type { Attack } from './attack.ts';
import type { AttackResult } from './attack-result.ts';
import { SNAPSHOT_ATTACKS } from './attacks.ts';
import type { KernelTargets } from './targets.ts';

/**
 * Tries `attacks` one after the other. Each puts page tables and registers back as they were, so that all of them meet
 * the same kernel; only a byte of text or data stays changed. After one that killed the guest, or asked the hypervisor for rights, the next
 * gets a new machine.
 *
 * @param options.createMachine gives a machine that is ready to be attacked, another one each time
 */
export function runAttacks(options: {
  readonly createMachine: () => Machine;
  readonly targets: KernelTargets;
  /** Default {@link SNAPSHOT_ATTACKS}. */
  readonly attacks?: readonly Attack[];
}): AttackResult[] {
  const { createMachine, targets, attacks = SNAPSHOT_ATTACKS } = options;
  let machine: Machine | undefined;
  return attacks.map((attack) => {
    machine ??= createMachine();
    let isAsItWas = true;
    const stop = machine.listen(({ from, event }) => {
      if (from === 'hypervisor' && (event.type === 'protected' || event.type === 'pinned')) isAsItWas = false;
    });
    const result = machine.attack(attack, targets);
    stop();
    if (!isAsItWas || machine.vcpu.halted !== undefined) machine = undefined;
    return result;
  });
}
