import { FINDING_KINDS } from '@heki/audit';
import { markdownTable, type Page, textBlock } from './page.ts';
import { printedWithFindings } from './printed.ts';

const report = (
  await printedWithFindings(['audit', 'fixtures/k61-256-tampered-text-alias.elf.gz', '--no-heki'])
).trimEnd();

/** What the audit finds. */
export const findingsPage: Page = {
  file: 'docs/findings.md',
  parts: {
    report: () => textBlock(report.split('\n')),
    list: () =>
      markdownTable(
        ['finding', 'at worst', 'what it is'],
        FINDING_KINDS.map(({ id, worst, title }) => [`\`${id}\``, worst, title]),
      ),
    findings: () =>
      FINDING_KINDS.map(({ id, title, worst, explanation, attack, legitimate, advice }) =>
        [
          `## ${title}`,
          '',
          `\`${id}\`, at worst ${worst}. ${explanation}`,
          '',
          `- **How an attacker uses it:** ${attack}`,
          `- **How a sound kernel comes to it:** ${legitimate}`,
          `- **What to do:** ${advice}`,
        ].join('\n'),
      ).join('\n\n'),
  },
};
