import { basename } from 'node:path';
import { hex } from '@heki/physical-memory';
import type { ExtractRoot } from '@heki/vmcore';
import type { Colours } from '../colours.ts';
import { bytesText, count } from '../quantity.ts';
import type { Disclosure, ExtractReport } from './extract-report.ts';

const ROOTS: Readonly<Record<ExtractRoot['from'], string>> = {
  cr3: 'CR3',
  'pti-pair': 'the other root of page-table isolation',
  'swapper-pg-dir': 'swapper_pg_dir',
};

/** The report as people read it. */
export function extractText(report: ExtractReport, { bold, dim, yellow }: Colours): string[] {
  const { extract } = report;
  const roots = extract.roots.map(
    ({ frame, from, cpu }) =>
      `${hex(frame * 4096)} (${ROOTS[from]}${cpu === undefined ? '' : ` of CPU ${cpu}`})`,
  );
  const facts = (heading: string, disclosures: readonly Disclosure[]) =>
    disclosures.map(
      ({ subject, detail }, index) =>
        `  ${dim((index === 0 ? heading : '').padEnd(11))}${subject.padEnd(15)} ${detail}`,
    );
  return [
    `${bold(report.core === undefined ? 'standard output' : basename(report.core))}: ${count(extract.tablePages, 'page-table page')} of ${report.source}, packed ${bytesText(report.bytes)}${report.sidecar === undefined ? '' : `; beside it ${basename(report.sidecar)}`}`,
    '',
    ...roots.map((root, index) => `  ${dim((index === 0 ? 'roots' : '').padEnd(11))}${root}`),
    ...(extract.absentTables === 0
      ? []
      : [
          yellow(
            `  ${count(extract.absentTables, 'page-table page')} that entries lead to ${extract.absentTables === 1 ? 'is' : 'are'} not in the dump`,
          ),
        ]),
    ...facts('discloses', report.discloses),
    ...facts('leaves out', report.leavesOut),
  ];
}
