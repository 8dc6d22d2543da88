import {
  ATTACK_MACHINES,
  CATALOGUE,
  type Cell,
  countCells,
  isRed,
  type Matrix,
  type MatrixRow,
  scoresOf,
} from '@heki/attacks';
import type { Colours } from '../colours.ts';
import { printable } from '../printable.ts';
import type { Screen } from '../report/screen.ts';
import { unkeptClaims } from './unkept-claims.ts';

/** Signs of verdicts, and what they say. */
const SIGNS = {
  succeeds: '✘',
  'detected too late': '✘',
  blocked: '✔',
  livelock: '↻',
  'crashes the guest': '†',
  'not expressible': '·',
} as const;

/** The first line of what is told: what was claimed, and its outcome. */
export function countLine(matrix: Matrix): string {
  const { cells, claimed, unclaimed, notExpressible } = countCells(matrix);
  return `${cells} attempts: of ${claimed.stopped + claimed.red} that a machine claims to stop ${claimed.stopped} are stopped and ${claimed.red} succeed; of ${unclaimed.stopped + unclaimed.red} that it does not claim ${unclaimed.stopped} are stopped and ${unclaimed.red} succeed; ${notExpressible} say nothing there`;
}

/** What was attacked, where it was a snapshot: a sentence. */
export function snapshotText(of: string): string {
  return `In the memory of ${of}: its page tables, and functions of the lab in its text. What needs a kernel that lives is not expressible`;
}

/** A matrix for people; `inDetail` with the outcome of every attempt. */
export function* attackText(
  matrix: Matrix,
  inDetail: boolean,
  { colours }: Screen,
  snapshot?: string,
): Iterable<string> {
  yield colours.bold(countLine(matrix));
  if (snapshot !== undefined) yield printable(snapshotText(snapshot));
  yield '';
  for (const [index, { name, title }] of matrix.machines.entries()) {
    yield `  ${String(index + 1).padStart(2)}  ${name.padEnd(18)} ${title}`;
  }
  yield '';
  const width = Math.max(...matrix.rows.map(({ attack }) => attack.name.length));
  yield `  ${''.padEnd(width)} ${matrix.machines.map((_, index) => String(index + 1).padStart(3)).join('')}`;
  for (const row of matrix.rows) {
    yield `  ${row.attack.name.padEnd(width)} ${matrix.machines.map(({ name }) => `  ${sign(row, row.cells.get(name), colours)}`).join('')}`;
  }
  yield '';
  yield '  ✘ succeeds   ! succeeds where it is claimed to be stopped   ✔ stopped, or work that goes on   ↻ livelock   † the guest dies   · not expressible';
  const scores = scoresOf(matrix);
  if (scores.some(({ attacks, work }) => attacks.tried > 0 && work.tried > 0)) {
    yield '';
    for (const { machine, attacks, work } of scores)
      yield `  ${machine.padEnd(22)} stops ${attacks.stopped} of ${attacks.tried} attacks, and ${work.goesOn} of ${work.tried} kinds of legitimate work go on`;
  }
  for (const { attack, machine } of unkeptClaims(matrix))
    yield `  ${machine} claims to stop ${attack}, and does not`;
  if (!inDetail) return;
  for (const row of matrix.rows) yield* detailsOf(row, colours);
}

function sign({ attack }: MatrixRow, cell: Cell | undefined, { red, green, yellow, bold }: Colours): string {
  if (cell === undefined) return ' ';
  const { verdict } = cell;
  if (attack.legitimate === true && verdict !== 'not expressible')
    return isRed(cell) ? green('✔') : red(bold('✘'));
  if (isRed(cell)) return red(bold(cell.claimed ? '!' : SIGNS[verdict]));
  return verdict === 'blocked' ? green(SIGNS[verdict]) : yellow(SIGNS[verdict]);
}

function* detailsOf({ attack, cells, claimedBy }: MatrixRow, { bold, dim }: Colours): Iterable<string> {
  yield '';
  yield `${bold(attack.name)}: ${attack.title}`;
  yield `  gains: ${attack.gains}`;
  yield `  source: ${attack.source}`;
  yield `  claimed by: ${claimedBy.length === 0 ? 'none' : claimedBy.join(', ')}`;
  for (const [machine, cell] of cells) {
    yield `  ${machine.padEnd(18)} ${verdictText(cell)}`;
    yield dim(`    ${cell.evidence}`);
    if (cell.schedule !== undefined) yield dim(`    ${scheduleText(cell.schedule)}`);
  }
}

/** A verdict in words. */
export function verdictText({ verdict, by, cause }: Cell): string {
  return [
    verdict,
    ...(by === null ? [] : [`by ${by}`]),
    ...(cause === undefined ? [] : [`because of: ${cause}`]),
  ].join(', ');
}

/** When the attacker had his turns. */
export function scheduleText({ seed, turns = [] }: NonNullable<Cell['schedule']>): string {
  const shown = turns.slice(0, 8).join(', ');
  return `seed ${seed}: ${turns.length} ${turns.length === 1 ? 'turn' : 'turns'} of the attacker, at moments ${shown}${turns.length > 8 ? ', ...' : ''}`;
}

/** The attacks and the machines, by name. */
export function* attackListing(): Iterable<string> {
  yield 'machines';
  for (const { name, title } of ATTACK_MACHINES) yield `  ${name.padEnd(30)} ${title}`;
  yield 'attacks';
  for (const { name, title, legitimate } of CATALOGUE) {
    yield `  ${name.padEnd(30)} ${title}${legitimate === true ? ' (legitimate)' : ''}`;
  }
}
