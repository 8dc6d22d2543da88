import { type Finding, isAtLeast, SEVERITIES } from '@heki/audit';
import { z } from 'zod';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';

const entrySchema = z.strictObject({
  fingerprint: z.string().min(1),
  id: z.string().min(1),
  severity: z.enum(SEVERITIES),
  /** How many pages it was about. */
  pages: z.number().int().nonnegative().optional(),
  reason: z.string().optional(),
  expires: z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}$/, 'expected a day as "2027-01-31"')
    .optional(),
});
const baselineSchema = z.strictObject({ version: z.literal(1), accepted: z.array(entrySchema) });

/** A finding that is known and accepted. */
export type BaselineEntry = z.infer<typeof entrySchema>;

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

/**
 * Reads the baseline at `path`.
 *
 * @throws {InputError} when it is not one
 */
export async function readBaseline(path: string): Promise<Baseline> {
  const text = await readText(path, INPUT_KINDS.baseline);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`not JSON (${error instanceof Error ? error.message : error})`, { file: path });
  }
  const parsed = baselineSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const place = issue === undefined || issue.path.length === 0 ? 'the file' : issue.path.join('.');
    throw new InputError(`${place}: ${issue?.message ?? 'no baseline'}`, { file: path });
  }
  return createBaseline(parsed.data.accepted);
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
