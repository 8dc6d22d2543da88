import { type Alias, rightsText } from '@heki/audit';
import { hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { number } from '../quantity.ts';
import { hekiSummary } from './heki-summary.ts';
import { type AuditReport, type JudgedFinding, verdictText } from './report.ts';

/** The report as Markdown, for a ticket or a pull request. */
export function auditMarkdown(report: AuditReport): string {
  const { subject, redact, fails } = report;
  const rows = report.findings.map(
    ({ severity, id, summary, accepted }) =>
      `| ${severity} | \`${id}\` | ${escaped(summary)} | ${accepted === undefined ? '' : escaped(accepted)} |`,
  );
  return `${[
    `# Memory audit: ${fails ? 'fails' : 'passes'}`,
    '',
    `${escaped(verdictText(report))}.`,
    '',
    ...(redact ? [] : [`- source: ${escaped(subject.name)}`, `- kernel: ${escaped(subject.kernel)}`]),
    `- leaves: ${number(report.audit.kernel.mappings.length)}`,
    ...(report.heki === undefined
      ? []
      : [`- under Heki: ${escaped(hekiSummary(report.heki, redact).readiness)}`]),
    '',
    ...(rows.length === 0
      ? ['Nothing was found.']
      : ['| severity | finding | in this kernel | accepted |', '| --- | --- | --- | --- |', ...rows]),
    ...report.findings.filter((finding) => finding.fails).flatMap((finding) => details(finding, redact)),
  ].join('\n')}\n`;
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

function row({ start, end, frame, region, effective }: Alias): string {
  const addresses = `${hex(virtualAddressOf(start))}-${hex((BigInt(end) << 12n) - 1n)}`;
  return `| \`${addresses}\` | \`${hex(frame * PAGE_SIZE)}\` | \`${rightsText(effective)}\` | ${region} |`;
}

/** What a guest chose must not become markup. */
function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|#]/g, '\\$&').replace(/[\r\n]+/g, ' ');
}
