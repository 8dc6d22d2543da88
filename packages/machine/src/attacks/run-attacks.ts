import type { Machine } from '../machine.ts';
import type { Attack } from './attack.ts';
import type { AttackResult } from './attack-result.ts';
import { SNAPSHOT_ATTACKS } from './attacks.ts';
import type { KernelTargets } from './targets.ts';

/**
 * Tries `attacks` one after the other. Each puts page tables and registers back as they were, so that all of them meet
 * the same kernel; only a byte of text or data stays changed. After one that killed the guest, the next gets a new machine.
 *
 * @param options.createMachine gives a machine that is ready to be attacked
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
    if (machine === undefined || machine.vcpu.halted !== undefined) machine = createMachine();
    return machine.attack(attack, targets);
  });
}
