import type { Hypervisor } from '@heki/hypervisor';
import { type Defects, nearMatches } from '@heki/series';
import { machineDefects } from '../defects.ts';
import { MachineError } from '../error.ts';
import type { SpecifiedDefects } from './machine-specification.ts';

/** Defects of parts of the model that a machine does not use. Switched there, they would be without effect. */
const IN_NO_MACHINE: ReadonlyMap<string, string> = new Map([
  ['B-G9', 'it is of tables with large entries (createMemoryTable), and the published counters have none'],
  ['B-G21', 'it is of kernels on a hypervisor that they have no driver for (initHeki)'],
]);

/** @throws {MachineError} with the {@link defectFault} that there is */
export function checkDefects(
  defects: SpecifiedDefects,
  hypervisor: Pick<Hypervisor, 'name' | 'defects'>,
  ofGuest: Defects,
): void {
  const fault = defectFault(defects, hypervisor, ofGuest);
  if (fault !== undefined) throw new MachineError(fault);
}

/**
 * What is wrong with switching `defects` on a machine whose hypervisor is `hypervisor`: an id that nothing in it has, or a hypervisor that
 * was made otherwise. `undefined` when they can be switched.
 *
 * @param ofGuest the defects that the guest can have
 */
export function defectFault(
  defects: SpecifiedDefects,
  { name, defects: switches = {} }: Pick<Hypervisor, 'name' | 'defects'>,
  ofGuest: Defects = machineDefects,
): string | undefined {
  const known = [...Object.keys(ofGuest), ...Object.keys(switches)].filter((one) => !IN_NO_MACHINE.has(one));
  for (const [id, wanted] of Object.entries(defects)) {
    const why = IN_NO_MACHINE.get(id);
    if (why !== undefined) return `defect ${id}: no machine shows it: ${why}`;
    if (Object.hasOwn(ofGuest, id)) continue;
    if (!Object.hasOwn(switches, id)) {
      const near = nearMatches(id, known);
      const expected =
        near.length === 0 ? `expected one of ${known.join(', ')}` : `like it are ${near.join(', ')}`;
      return `defect ${id}: neither the guest nor the hypervisor ${name} has it: ${expected}`;
    }
    if (switches[id] !== wanted) {
      return `defect ${id}: the hypervisor ${name} was made with it ${switches[id] === true ? 'on' : 'off'}, expected ${wanted ? 'on' : 'off'}`;
    }
  }
  return undefined;
}
