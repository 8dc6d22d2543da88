import { isRed, type Matrix } from '@heki/attacks';

/** An attack that succeeds on a machine which says that it stops it. */
export interface UnkeptClaim {
  readonly attack: string;
  readonly machine: string;
}

/** Machines whose defects are the reason why they are there: what they do not keep is not a finding. */
function showsDefects({ machine }: Matrix['machines'][number]): boolean {
  return machine.profile === 'rfc-v2' || machine.secureKernel === 'lvbs-2026-02';
}

/** The claims that machines do not keep. */
export function unkeptClaims({ machines, rows }: Matrix): UnkeptClaim[] {
  return rows.flatMap(({ attack, cells }) =>
    machines.flatMap((machine) => {
      const cell = cells.get(machine.name);
      if (cell === undefined || !cell.claimed || !isRed(cell) || showsDefects(machine)) return [];
      return [{ attack: attack.name, machine: machine.name }];
    }),
  );
}
