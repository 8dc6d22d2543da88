import { type Cell, countCells, type Matrix, MECHANISMS } from '@heki/attacks';
import { unkeptClaims } from './unkept-claims.ts';

/** Steps of a cell's trace at most. */
const MOST_STEPS = 32;

/** A matrix as programs read it. */
export function attackJson(matrix: Matrix, snapshot?: string): object {
  return {
    snapshot: snapshot ?? null,
    counts: countCells(matrix),
    unkeptClaims: unkeptClaims(matrix),
    mechanisms: Object.entries(MECHANISMS).map(([name, title]) => ({ name, title })),
    machines: matrix.machines.map(({ name, title, machine, mechanisms }) => ({
      name,
      title,
      machine,
      mechanisms,
    })),
    attacks: matrix.rows.map(({ attack, claimedBy, cells }) => ({
      name: attack.name,
      title: attack.title,
      gains: attack.gains,
      source: attack.source,
      means: attack.means,
      legitimate: attack.legitimate === true,
      stoppedBy: attack.stoppedBy,
      claimedBy,
      verdicts: Object.fromEntries([...cells].map(([machine, cell]) => [machine, cellJson(cell)])),
    })),
  };
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
