import { type AuditedKernel, type AuditSubject, readKernel } from './audited-kernel.ts';
import { type Finding, type FindingKind, type Occurrence, SEVERITIES, type Severity } from './finding.ts';
import { FINDING_KINDS } from './findings/index.ts';
import { pagesIn } from './occurrence.ts';

/** What an audit found. */
export interface Audit {
  readonly kernel: AuditedKernel;
  /** The worst first; of the same severity in the order of {@link FINDING_KINDS}. */
  readonly findings: readonly Finding[];
  /** The worst severity; `undefined` when nothing was found. */
  readonly worst: Severity | undefined;
  readonly counts: Readonly<Record<Severity, number>>;
}

/**
 * Looks for everything that {@link FINDING_KINDS} know in a kernel's page tables and registers. Only reads.
 *
 * @throws {AuditError} when the tables have no end
 */
export function auditKernel(subject: AuditSubject): Audit {
  const kernel = readKernel(subject);
  const findings = FINDING_KINDS.flatMap((kind) =>
    [...kind.find(kernel)].map((occurrence) => findingOf(kind, occurrence)),
  ).sort((a, b) => SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity));
  const counts = { info: 0, low: 0, medium: 0, high: 0, critical: 0 };
  for (const { severity } of findings) counts[severity]++;
  return { kernel, findings, worst: findings[0]?.severity, counts };
}

function findingOf({ id, title, explanation, advice }: FindingKind, occurrence: Occurrence): Finding {
  return {
    ...occurrence,
    id,
    title,
    explanation,
    advice,
    pages: pagesIn(occurrence.ranges),
    fingerprint: `${id}|${occurrence.place}`,
  };
}
