import { FINDING_KINDS, type FindingKind } from '@heki/audit';
import { triggerOf } from './finding-triggers.ts';
import { markdownTable, type Page, textBlock } from './page.ts';
import { printedWithFindings } from './printed.ts';

const report = (
  await printedWithFindings(['audit', 'fixtures/k61-256-tampered-text-alias.elf.gz', '--no-heki'])
).trimEnd();

/** Of the page of a kind, beside the index: `wx-alias`. */
const nameOf = ({ id }: FindingKind): string => id.slice('heki/'.length);

/** What the audit finds: how to look, and an index. */
export const findingsPage: Page = {
  file: 'docs/findings.md',
  parts: {
    report: () => textBlock(report.split('\n')),
    list: () =>
      markdownTable(
        ['finding', 'at worst', 'what it is'],
        FINDING_KINDS.map((kind) => [
          `[\`${kind.id}\`](findings/${nameOf(kind)}.md)`,
          kind.worst,
          kind.title,
        ]),
      ),
    findings: () =>
      FINDING_KINDS.map((kind) =>
        [
          `## ${kind.title}`,
          '',
          `[\`${kind.id}\`](findings/${nameOf(kind)}.md), at worst ${kind.worst}. ${kind.explanation}`,
        ].join('\n'),
      ).join('\n\n'),
  },
};

/** A page for each kind of finding. */
export const findingPages: readonly Page[] = FINDING_KINDS.map((kind) => ({
  file: `docs/findings/${nameOf(kind)}.md`,
  parts: {
    finding: () =>
      [
        `# ${kind.title}`,
        '',
        `\`${kind.id}\`, at worst ${kind.worst}. ${kind.explanation}`,
        '',
        '## How an attacker uses it',
        '',
        kind.attack,
        '',
        '## How a sound kernel comes to it',
        '',
        kind.legitimate,
        '',
        '## What to do',
        '',
        kind.advice,
        '',
        '## See it',
        '',
        triggerOf(kind.id),
        '',
        'All others: [what the audit finds](../findings.md).',
      ].join('\n'),
  },
}));
