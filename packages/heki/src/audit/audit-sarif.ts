import { FINDING_KINDS, type Severity } from '@heki/audit';
import { hex, PAGE_SIZE } from '@heki/physical-memory';
import type { AuditReport, JudgedFinding } from './report.ts';
import { withoutValues } from './without-addresses.ts';

/** By severity. */
export const SARIF_LEVELS: Readonly<Record<Severity, 'note' | 'warning' | 'error'>> = {
  info: 'note',
  low: 'note',
  medium: 'warning',
  high: 'error',
  critical: 'error',
};
/** By which GitHub sorts: above 9.0 critical, 7.0 high, 4.0 medium. */
const SECURITY_SEVERITY: Readonly<Record<Severity, string>> = {
  info: '0.0',
  low: '2.0',
  medium: '5.0',
  high: '8.0',
  critical: '9.5',
};

/**
 * The report in SARIF 2.1.0. Memory has no lines of source: each result points to the dump as a file, whose name is relative, because GitHub
 * refuses results without a physical location, and to the region as a logical one.
 */
export function auditSarif(report: AuditReport, version: string): unknown {
  const uri = report.redact ? 'guest.elf' : encodeURIComponent(report.subject.name);
  return sarifLog(
    'heki audit',
    version,
    report.findings.map((finding) => result(finding, uri, report.redact)),
  );
}

/** A log with one run, whose rules are the kinds of findings. */
export function sarifLog(name: string, version: string, results: readonly unknown[]): object {
  return {
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name, version, semanticVersion: version, rules: FINDING_KINDS.map(rule) } },
        columnKind: 'utf16CodeUnits',
        results,
      },
    ],
  };
}

/** Where a rule stands in the log. */
export function sarifRuleIndex(id: string): number {
  return FINDING_KINDS.findIndex((kind) => kind.id === id);
}

function rule({ id, title, worst, explanation, attack, legitimate, advice }: (typeof FINDING_KINDS)[number]) {
  const text = `${explanation} Attack: ${attack} Legitimate: ${legitimate} What to do: ${advice}`;
  return {
    id,
    name: id.replace('heki/', ''),
    shortDescription: { text: title },
    fullDescription: { text: explanation },
    help: { text },
    defaultConfiguration: { level: SARIF_LEVELS[worst] },
    properties: { tags: ['security'], 'security-severity': SECURITY_SEVERITY[worst] },
  };
}

function result(finding: JudgedFinding, uri: string, redact: boolean) {
  const { id, severity, summary, ranges, aliases, fingerprint, accepted } = finding;
  const regions = [...new Set(aliases.map(({ region }) => region))];
  const symbols = [...new Set(aliases.flatMap(({ symbol }) => (symbol === undefined ? [] : [symbol])))];
  const at = redact
    ? ''
    : ranges
        .slice(0, 4)
        .map(({ start, end }) => ` ${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}`)
        .join(',');
  return {
    ruleId: id,
    ruleIndex: sarifRuleIndex(id),
    level: SARIF_LEVELS[severity],
    message: { text: at === '' ? summary : `${summary} Guest-physical${at}.` },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri }, region: { startLine: 1 } },
        ...(regions.length > 0 && {
          logicalLocations: [
            ...regions.map((name) => ({ fullyQualifiedName: name, kind: 'memory' })),
            ...symbols.map((name) => ({ fullyQualifiedName: name, kind: 'function' })),
          ],
        }),
      },
    ],
    partialFingerprints: { 'heki/v1': redact ? withoutValues(fingerprint) : fingerprint },
    ...(accepted !== undefined && { suppressions: [{ kind: 'external', justification: accepted }] }),
  };
}
