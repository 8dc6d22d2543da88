import { isRed, type Matrix } from './run-matrix.ts';

/** What a machine is worth: the pair of what it stops and what still goes on. One without the other says nothing. */
export interface MachineScore {
  readonly machine: string;
  /** Attacks that the machine has something for, and how many of them come to nothing. */
  readonly attacks: { readonly tried: number; readonly stopped: number };
  /** Legitimate work that the machine has something for, and how much of it goes on. */
  readonly work: { readonly tried: number; readonly goesOn: number };
}

/** The score of each machine of a matrix, in its order. */
export function scoresOf({ machines, rows }: Pick<Matrix, 'machines' | 'rows'>): MachineScore[] {
  return machines.map(({ name }) => {
    const attacks = { tried: 0, stopped: 0 };
    const work = { tried: 0, goesOn: 0 };
    for (const { attack, cells } of rows) {
      const cell = cells.get(name);
      if (cell === undefined || cell.verdict === 'not expressible') continue;
      if (attack.legitimate === true) {
        work.tried++;
        if (isRed(cell)) work.goesOn++;
      } else {
        attacks.tried++;
        if (!isRed(cell)) attacks.stopped++;
      }
    }
    return { machine: name, attacks, work };
  });
}
