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
  /**
   * Why each of `findings` is accepted on the day `today`; `undefined` for one that is not. An entry accepts no finding that is worse than
   * what was accepted, more severe or of more pages, and from medium on no second one: findings of several CPUs may have one fingerprint.
   */
  accept(findings: readonly Finding[], today: string): (string | undefined)[];
  /** The entries for one of `findings` whose day has passed on the day `today`: they accept it no more. */
  expired(findings: readonly Finding[], today: string): BaselineEntry[];
}

/** A baseline of `entries`. */
export function createBaseline(entries: readonly BaselineEntry[]): Baseline {
  return {
    entries,
    accept(findings, today) {
      // The entry that allows least is taken first, and leaves the others for what needs them.
      const left = byFingerprint(
        entries
          .filter(({ expires }) => isGood(expires, today))
          .sort((a, b) => (a.pages ?? Infinity) - (b.pages ?? Infinity)),
      );
      return findings.map((finding) => {
        const known = left.get(finding.fingerprint) ?? [];
        const index = known.findIndex((entry) => covers(entry, finding));
        const entry = known[index];
        if (mayNotGrow(finding)) known.splice(index, entry === undefined ? 0 : 1);
        return entry === undefined ? undefined : (entry.reason ?? 'known');
      });
    },
    expired(findings, today) {
      const found = new Set(findings.map(({ fingerprint }) => fingerprint));
      return entries.filter(({ fingerprint, expires }) => found.has(fingerprint) && !isGood(expires, today));
    },
  };
}

/** An entry accepts on its last day, too. */
function isGood(expires: string | undefined, today: string): boolean {
  return expires === undefined || expires >= today;
}

/** What every kernel has may grow from boot to boot. */
function mayNotGrow({ severity }: Finding): boolean {
  return isAtLeast(severity, 'medium');
}

function covers({ severity, pages }: BaselineEntry, finding: Finding): boolean {
  const hasGrown = mayNotGrow(finding) && finding.pages > (pages ?? finding.pages);
  return !hasGrown && isAtLeast(severity, finding.severity);
}

function byFingerprint(entries: readonly BaselineEntry[]): Map<string, BaselineEntry[]> {
  const groups = new Map<string, BaselineEntry[]>();
  for (const entry of entries) {
    const group = groups.get(entry.fingerprint);
    if (group === undefined) groups.set(entry.fingerprint, [entry]);
    else group.push(entry);
  }
  return groups;
}

/**
 * The baseline of `findings`. Reasons and days of `before` stay, those that have passed as well: who gave a day wants to decide again, and
 * does so in the file.
 */
export function updatedBaseline(findings: readonly Finding[], before: Baseline): Baseline {
  const known = byFingerprint(before.entries);
  const entries = findings.map(({ fingerprint, id, severity, pages }) => {
    const { reason, expires } = known.get(fingerprint)?.shift() ?? {};
    return { fingerprint, id, severity, pages, ...(reason && { reason }), ...(expires && { expires }) };
  });
  return createBaseline(entries);
}

/** What the file of a baseline has. */
export function baselineText({ entries }: Baseline): string {
  return `${JSON.stringify({ version: 1, accepted: entries }, undefined, 2)}\n`;
}
