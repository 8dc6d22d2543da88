import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';

/** What attacks keep between preparation, turns and end. */
const PREPARED = new WeakMap<Lab, unknown>();

/** A race with something that its preparation finds out. */
export function race<Found>(options: {
  readonly attack: Omit<LabAttack, 'run' | 'race'>;
  readonly prepare: (lab: Lab) => Found;
  readonly work: (lab: Lab, found: Found) => void;
  readonly turn: (lab: Lab, found: Found) => void;
  readonly after?: (lab: Lab, found: Found) => void;
}): LabAttack {
  const { attack, prepare, work, turn, after } = options;
  // What is put in by `run` is of this type.
  const found = (lab: Lab): Found => PREPARED.get(lab) as Found;
  return {
    ...attack,
    means: [...attack.means, 'second processor'],
    run: (lab) => void PREPARED.set(lab, prepare(lab)),
    race: {
      work: (lab) => work(lab, found(lab)),
      turn: (lab) => turn(lab, found(lab)),
      after: (lab) => after?.(lab, found(lab)),
    },
  };
}
