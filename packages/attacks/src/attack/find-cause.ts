import type { AttackMachine } from '../machines/attack-machines.ts';
import type { DriverChange } from '../machines/boot-machine.ts';
import { SWITCHES } from '../machines/switches.ts';
import type { LabAttack } from './lab-attack.ts';
import { type Boot, runAttack } from './run-attack.ts';

/**
 * What stopped an attack that did not succeed on a machine, proven: without it the same attack succeeds there. `undefined` when it succeeds without
 * nothing that can be taken out: then the processor's own rules stop it, or nothing on this machine lets it begin.
 *
 * @param likely what is taken out first: what stopped it elsewhere
 */
export function findCause(
  attack: LabAttack,
  machine: AttackMachine,
  boot: (specification: AttackMachine['machine'], change?: DriverChange) => ReturnType<Boot>,
  likely?: string,
): string | undefined {
  const first = SWITCHES.filter(({ name }) => name === likely);
  for (const { name, applies, without, driver } of new Set([...first, ...SWITCHES])) {
    if (!applies(machine.machine)) continue;
    const specification = without?.(machine.machine) ?? machine.machine;
    const { verdict } = runAttack(attack, () => boot(specification, driver));
    if (verdict === 'succeeds' || verdict === 'detected too late') return name;
  }
  return undefined;
}
