import { type Alias, rightsText } from '@heki/audit';
import { hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { printable } from '../printable.ts';
import { number } from '../quantity.ts';
import { type HekiReport, hekiFacts, readinessText } from './heki-report.ts';
import { type AuditReport, type JudgedFinding, verdictText } from './report.ts';

/** The report as Markdown, for a ticket or a pull request. */
export function auditMarkdown(report: AuditReport): string {
  const { subject, redact, fails } = report;
  const rows = report.findings.map(
    ({ severity, id, summary, accepted }) =>
      `| ${severity} | \`${id}\` | ${escaped(summary)} | ${accepted === undefined ? '' : verbatim(accepted).replaceAll('|', '\\|')} |`,
  );
  return `${[
    `# Memory audit: ${fails ? 'fails' : 'passes'}`,
    '',
    `${escaped(verdictText(report))}.`,
    '',
    ...(redact ? [] : [`- source: ${verbatim(subject.name)}`, `- kernel: ${verbatim(subject.kernel)}`]),
    `- leaves: ${number(report.audit.kernel.mappings.length)}`,
    '',
    ...(rows.length === 0
      ? ['Nothing was found.']
      : ['| severity | finding | in this kernel | accepted |', '| --- | --- | --- | --- |', ...rows]),
    ...report.findings.filter((finding) => finding.fails).flatMap((finding) => details(finding, redact)),
    ...(report.heki === undefined ? [] : underHeki(report.heki, redact)),
  ].join('\n')}\n`;
}

function underHeki(heki: HekiReport, redact: boolean): string[] {
  const { inForce, work, open } = heki.result;
  return [
    '',
    '## Under Heki',
    '',
    `${escaped(readinessText(heki, redact))}.`,
    '',
    ...hekiFacts(heki).map(([name, value]) => `- ${name}: ${value}`),
    ...(inForce
      ? [
          '',
          "| the kernel's work | outcome | pages | why |",
          '| --- | --- | --- | --- |',
          ...work.map(
            ({ title, outcome, pages, why }) => `| ${title} | ${outcome} | ${number(pages)} | ${why} |`,
          ),
        ]
      : []),
    '',
    'What stays open:',
    '',
    ...open.map(({ text }) => `- ${text}`),
  ];
}

function details(finding: JudgedFinding, redact: boolean): string[] {
  return [
    '',
    `## ${finding.title} (\`${finding.id}\`)`,
    '',
    `${escaped(finding.summary)} ${finding.explanation}`,
    '',
    `**What to do:** ${finding.advice}`,
    ...(redact || finding.aliases.length === 0
      ? []
      : [
          '',
          '| addresses | physical | rights | region |',
          '| --- | --- | --- | --- |',
          ...finding.aliases.map(row),
        ]),
  ];
}

function row({ start, end, frame, region, symbol, effective }: Alias): string {
  const addresses = `${hex(virtualAddressOf(start))}-${hex((BigInt(end) << 12n) - 1n)}`;
  return `| \`${addresses}\` | \`${hex(frame * PAGE_SIZE)}\` | \`${rightsText(effective)}\` | ${region}${symbol === undefined ? '' : ` ${verbatim(symbol).replaceAll('|', '\\|')}`} |`;
}

/** What the audit says must not become markup. */
function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|#&~]/g, '\\$&').replace(/[\r\n]+/g, ' ');
}

/**
 * What a guest or a file chose, as code: nothing in it becomes a link, a mention of somebody or HTML. The fence is longer than any in the
 * text (CommonMark 6.1).
 */
function verbatim(text: string): string {
  const line = printable(text).replace(/[\r\n]+/g, ' ');
  const fence = '`'.repeat(1 + Math.max(0, ...[...line.matchAll(/`+/g)].map(([run]) => run.length)));
  return line.includes('`') ? `${fence} ${line} ${fence}` : `${fence}${line}${fence}`;
}
