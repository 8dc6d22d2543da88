import {
  ATTACK_MACHINES,
  CATALOGUE,
  type Cell,
  isRed,
  type Matrix,
  type MatrixRow,
  scoresOf,
} from '@heki/attacks';
import { countLine, scheduleText, snapshotText, verdictText } from './attack-text.ts';

/** Steps of a trace that a page shows. */
const MOST_STEPS = 8;

/** A matrix and a section for each attack, in Markdown. */
export function attackMarkdown(matrix: Matrix, snapshot?: string): string[] {
  return [
    `${countLine(matrix)}.`,
    ...(snapshot === undefined ? [] : ['', `${plain(snapshotText(snapshot))}.`]),
    '',
    ...scoreTable(matrix),
    '',
    ...matrixTable(matrix),
    '',
    ...matrix.rows.flatMap((row) => [...section(row, snapshot === undefined ? sideBySide(row) : []), '']),
  ];
}

const plain = (text: string): string => text.replaceAll('|', '\\|');

/** What each machine stops, beside what goes on. */
function scoreTable(matrix: Matrix): string[] {
  return [
    '| machine | attacks stopped | legitimate work that goes on |',
    '|---|---|---|',
    ...scoresOf(matrix).map(
      ({ machine, attacks, work }) =>
        `| ${machine} | ${attacks.stopped} of ${attacks.tried} | ${work.goesOn} of ${work.tried} |`,
    ),
  ];
}

/** The matrix: machines from left to right, attacks from top to bottom. */
function matrixTable({ machines, rows }: Matrix): string[] {
  return [
    `| attack | ${machines.map(({ name }) => name).join(' | ')} |`,
    `|---|${machines.map(() => '---').join('|')}|`,
    ...rows.map(
      (row) =>
        `| [${row.attack.name}](#${row.attack.name}) | ${machines.map(({ name }) => word(row, row.cells.get(name))).join(' | ')} |`,
    ),
  ];
}

const WORDS = {
  blocked: 'stopped',
  livelock: 'livelock',
  'crashes the guest': 'dies',
  'not expressible': '-',
  succeeds: '**succeeds**',
  'detected too late': '**too late**',
} as const;

function word({ attack }: MatrixRow, cell: Cell | undefined): string {
  if (cell === undefined) return '';
  if (attack.legitimate === true && cell.verdict !== 'not expressible')
    return isRed(cell) ? 'works' : '**does not**';
  return isRed(cell) && cell.claimed ? `${WORDS[cell.verdict]} (claimed)` : WORDS[cell.verdict];
}

/** Where the inspector has it on a machine where it succeeds and on one that stops it; nothing where it has not both. */
function sideBySide({ attack: { name }, cells }: MatrixRow): string[] {
  const machineOf = (verdict: Cell['verdict']): string | undefined =>
    ATTACK_MACHINES.find((machine) => cells.get(machine.name)?.verdict === verdict)?.name;
  const [left, right] = [machineOf('succeeds'), machineOf('blocked')];
  if (left === undefined || right === undefined || !CATALOGUE.some((one) => one.name === name)) return [];
  const place = `#attacks?${new URLSearchParams({ attack: name, left, right })}`;
  return [`- Side by side on ${left} and ${right}: \`heki inspect\`, at \`${place}\``];
}

/** One attack: what it is, where it is from, what was done and its outcome. */
function section({ attack, claimedBy, cells }: MatrixRow, inspector: readonly string[]): string[] {
  const [first] = cells.values();
  const shown = [...cells.values()].find(isRed) ?? first;
  const steps = (shown?.steps ?? [])
    .filter(({ looks, result }) => !looks || result !== 'done')
    .slice(0, MOST_STEPS);
  return [
    `### ${attack.name}`,
    '',
    `**${attack.title}**: ${attack.gains}.`,
    '',
    `- Source: ${attack.source}`,
    `- Means: ${attack.means.length === 0 ? 'instructions of the kernel' : attack.means.join(', ')}`,
    `- Claimed by: ${claimedBy.length === 0 ? 'none' : claimedBy.join(', ')}`,
    ...inspector,
    '',
    '```text',
    ...steps.map(({ text, result, detail }) => (result === 'done' ? text : `${text}: ${detail}`)),
    '```',
    '',
    '| machines | verdict | evidence |',
    '|---|---|---|',
    ...grouped(cells).map(
      ([machines, cell]) =>
        `| ${machines.join(', ')} | ${plain(verdictText(cell))} | ${plain(cell.evidence)}${cell.schedule === undefined ? '' : `; ${scheduleText(cell.schedule)}`} |`,
    ),
  ];
}

/** Machines on which the same came of it, together, with what the first of them showed. */
function grouped(cells: MatrixRow['cells']): [string[], Cell][] {
  const groups = new Map<string, [string[], Cell]>();
  for (const [machine, cell] of cells) {
    const key = verdictText(cell);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [[machine], cell]);
    else group[0].push(machine);
  }
  return [...groups.values()];
}
