import { profileText } from '../profile-text.ts';
import { count, number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import { table } from '../report/table.ts';
import { rightsWarnings } from '../verdict/rights-warnings.ts';
import { type Verdict, verdictLines } from '../verdict/verdict.ts';
import { rangedWarningLines } from '../warning.ts';
import type { EndState, ReplayReport } from './replay-recording.ts';

/** What it means that pages which want `wanted` have `effective`, for a newcomer. */
function kindOf({ effective, wanted }: EndState): 'right' | 'loose' | 'strict' {
  if (effective === wanted) return 'right';
  const has = (rights: string, letter: string): boolean => rights.includes(letter);
  return ['w', 'x'].some((letter) => has(effective, letter) && !has(wanted, letter)) ? 'loose' : 'strict';
}

const VERDICTS = {
  loose: 'more than the kernel wants: an attacker may use it',
  strict: 'less than the kernel wants: the kernel may fault on it',
} as const;

/** The report as people read it. */
export function replayText(name: string, report: ReplayReport, verdict: Verdict, screen: Screen): string[] {
  const { colours } = screen;
  const { ranges, end } = report;
  const rows: string[][] = [];
  const totals = { right: 0, loose: 0, strict: 0 };
  for (const state of end) {
    const kind = kindOf(state);
    totals[kind] += state.frames;
    const paint = kind === 'right' ? colours.green : kind === 'loose' ? colours.red : colours.yellow;
    rows.push([
      state.wanted,
      paint(state.effective),
      state.immutable ? 'yes' : '',
      number(state.frames),
      kind === 'right' ? '' : paint(VERDICTS[kind]),
    ]);
  }
  const lines = [
    `${colours.bold(name)}: the life of a real kernel, ${number(report.calls)} calls of its hooks`,
    `profile ${profileText(report)}, ${report.mbec ? 'with' : 'without'} MBEC`,
    '',
    `${number(report.hypercalls)} hypercalls 14 carried ${number(ranges.sent)} ranges:`,
    `  ${number(ranges.applied)} applied`,
    `  ${number(ranges.dropped)} dropped, with success answered${ranges.dropped === 0 ? '' : colours.red(' (B-H1: a right that is held is never taken away)')}`,
    `  ${number(ranges.refused)} refused${ranges.refused === 0 ? '' : ', because the pages are immutable since boot'}`,
    report.failedHooks === 0
      ? ranges.refused === 0
        ? 'No hook failed.'
        : 'No hook told the kernel of it (B-G3).'
      : `${number(report.failedHooks)} hooks told the kernel that they failed.`,
    '',
    'At the end, of the pages that were protected:',
    ...table(
      { head: ['wanted by the kernel', 'granted by KVM', 'immutable', 'pages', ''], rows, right: [3] },
      screen,
    ),
    '',
    totals.loose === 0
      ? colours.green('No page has more rights than the kernel wants for it.')
      : colours.red(`${count(totals.loose, 'page')} with more rights than the kernel wants.`),
  ];
  if (totals.strict > 0) {
    lines.push(colours.yellow(`${count(totals.strict, 'page')} with fewer rights than the kernel wants.`));
  }
  lines.push(
    ...rangedWarningLines(rightsWarnings(report.rights, { inForce: true }), colours),
    ...verdictLines(verdict, colours),
  );
  return lines;
}
