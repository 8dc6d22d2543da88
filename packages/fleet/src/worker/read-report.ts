import { z } from 'zod';
import { findingSchema } from '../finding-schema.ts';
import type { Result } from '../result.ts';
import { JobFailure } from './job-failure.ts';
import type { JobAnswer } from './messages.ts';

/** What `heki audit --json` prints, as far as it is looked at here; the report is kept as it is. */
const auditSchema = z.object({
  schema: z.object({ name: z.literal('audit') }),
  verdict: z.object({ result: z.enum(['pass', 'fail']), text: z.string(), worst: z.string().nullable() }),
  findings: z.array(findingSchema),
  source: z.object({ kernel: z.string().nullable() }),
});

const errorSchema = z.object({
  schema: z.object({ name: z.literal('error') }),
  error: z.object({
    kind: z.string(),
    message: z.string(),
    place: z.object({ file: z.string().optional() }),
    unread: z.boolean().optional(),
  }),
});

/**
 * The result that an answer holds. Only what was read, and is no dump, is unreadable for good: where reading failed, or another file than
 * the dump is wrong, nothing is said of the dump.
 *
 * @param others files that were named beside the dump
 * @throws {JobFailure} for what is not the dump's fault, and may be otherwise elsewhere
 */
export function readReport({ report, milliseconds }: JobAnswer, others: readonly string[]): Result {
  const parsed = z.union([auditSchema, errorSchema]).safeParse(jsonOf(report));
  if (!parsed.success) throw new JobFailure('no-report', 'printed no report');
  if ('error' in parsed.data) {
    const { kind, message, place, unread = false } = parsed.data.error;
    const isOfOther = place.file !== undefined && others.includes(place.file);
    if (kind !== 'input' || unread || isOfOther) throw new JobFailure('not-read', message);
    return {
      ...{ outcome: 'unreadable', text: message, worst: undefined, kernel: undefined, findings: [] },
      ...{ report, milliseconds },
    };
  }
  const { verdict, findings, source } = parsed.data;
  return {
    outcome: verdict.result,
    text: verdict.text,
    worst: verdict.worst ?? undefined,
    kernel: source.kernel ?? undefined,
    ...{ findings, report, milliseconds },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
