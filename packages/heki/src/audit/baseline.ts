import { type Finding, isAtLeast, type Severity } from '@heki/audit';

/** A finding that is known and accepted. */
export interface BaselineEntry {
  readonly fingerprint: string;
  readonly id: string;
  readonly severity: Severity;
  /** How many pages it was about. */
  readonly pages?: number | undefined;
  readonly reason?: string | undefined;
  /** The last day on which it is: `2027-01-31`. */
  readonly expires?: string | undefined;
}

/** Findings that are known. */
export interface Baseline {
  readonly entries: readonly BaselineEntry[];
  /** Why `finding` is accepted on the day `today`; `undefined` when it is not, or is worse than what was accepted: more severe, or of more pages. */
  accepts(finding: Finding, today: string): string | undefined;
}

/** A baseline of `entries`. */
export function createBaseline(entries: readonly BaselineEntry[]): Baseline {
  const byFingerprint = new Map(entries.map((entry) => [entry.fingerprint, entry]));
  return {
    entries,
    accepts(finding, today) {
      const entry = byFingerprint.get(finding.fingerprint);
      if (entry === undefined || (entry.expires !== undefined && entry.expires < today)) return undefined;
      // What every kernel has may grow from boot to boot.
      const hasGrown =
        isAtLeast(finding.severity, 'medium') && finding.pages > (entry.pages ?? finding.pages);
      const isWorse = hasGrown || !isAtLeast(entry.severity, finding.severity);
      return isWorse ? undefined : (entry.reason ?? 'known');
    },
  };
}

/** The text of a baseline that accepts `findings`; reasons and days of `before` stay. */
export function baselineText(findings: readonly Finding[], before: Baseline): string {
  const known = new Map(before.entries.map((entry) => [entry.fingerprint, entry]));
  const accepted = findings.map(({ fingerprint, id, severity, pages }) => {
    const { reason, expires } = known.get(fingerprint) ?? {};
    return { fingerprint, id, severity, pages, ...(reason && { reason }), ...(expires && { expires }) };
  });
  return `${JSON.stringify({ version: 1, accepted }, undefined, 2)}\n`;
}
