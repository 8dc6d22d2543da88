import type { StoredResult } from '@heki/fleet';
import { stringify } from 'csv-stringify/sync';
import { printable } from '../printable.ts';

const COLUMNS = [
  'id',
  'source',
  'outcome',
  'worst',
  'findings',
  'kernel',
  'text',
  'milliseconds',
  'heki',
  'finished',
];

/** The columns' names. */
export function csvHeader(): string {
  return stringify([COLUMNS]);
}

/**
 * A result as a row (RFC 4180). Guests choose what is in it: what a spreadsheet would take for a formula begins with a quote, and no
 * character is one that does not print.
 */
export function csvRow(result: StoredResult): string {
  const { id, item, outcome, worst, kernel, findings, text, milliseconds, finishedAt } = result;
  const cells = [
    ...[id, item.source.uri, outcome, worst ?? ''],
    [...new Set(findings.map((finding) => finding.id))].join(' '),
    ...[kernel ?? '', text, String(milliseconds), item.hekiVersion, finishedAt.toISOString()],
  ];
  return stringify([cells.map((cell) => printable(cell).replaceAll('\n', '\\n'))], { escape_formulas: true });
}
