import {
  ATTACK_MACHINES,
  CATALOGUE,
  type Cell,
  countCells,
  type LabAttack,
  type Matrix,
  MECHANISMS,
  scoresOf,
} from '@heki/attacks';
import { unkeptClaims } from './unkept-claims.ts';

/** Steps of a cell's trace at most. */
const MOST_STEPS = 32;

/** A matrix as programs read it. */
export function attackJson(matrix: Matrix, snapshot?: string): object {
  return {
    snapshot: snapshot ?? null,
    counts: countCells(matrix),
    unkeptClaims: unkeptClaims(matrix),
    scores: scoresOf(matrix),
    mechanisms: mechanismsJson(),
    machines: matrix.machines.map(({ name, title, machine, mechanisms }) => ({
      name,
      title,
      machine,
      mechanisms,
    })),
    attacks: matrix.rows.map(({ attack, claimedBy, cells }) => ({
      ...toldOf(attack),
      claimedBy,
      verdicts: Object.fromEntries([...cells].map(([machine, cell]) => [machine, cellJson(cell)])),
    })),
  };
}

/** The attacks, the machines and what these can have, as programs read them. */
export function attackListJson(): object {
  return {
    mechanisms: mechanismsJson(),
    machines: ATTACK_MACHINES.map(({ name, title, machine }) => ({ name, title, machine })),
    attacks: CATALOGUE.map((attack) => ({ ...toldOf(attack), race: attack.race !== undefined })),
  };
}

const mechanismsJson = (): object[] => Object.entries(MECHANISMS).map(([name, title]) => ({ name, title }));

/** What is known of an attack before it is tried. */
function toldOf({ name, title, gains, source, means, legitimate, stoppedBy }: LabAttack): object {
  return { name, title, gains, source, means, legitimate: legitimate === true, stoppedBy };
}

function cellJson({ verdict, by, evidence, cause, claimed, schedule, steps }: Cell): object {
  return {
    verdict,
    by,
    evidence,
    claimed,
    cause: cause ?? null,
    schedule: schedule === undefined ? null : { seed: schedule.seed, turns: schedule.turns ?? [] },
    steps: steps
      .filter(({ looks, result }) => !looks || result !== 'done')
      .slice(0, MOST_STEPS)
      .map(({ text, result, detail }) => ({ text, result, detail: detail ?? null })),
  };
}
