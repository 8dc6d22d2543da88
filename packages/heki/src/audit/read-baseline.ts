import { SEVERITIES } from '@heki/audit';
import { z } from 'zod';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { type Baseline, createBaseline } from './baseline.ts';

const entrySchema = z.strictObject({
  fingerprint: z.string().min(1),
  id: z.string().min(1),
  severity: z.enum(SEVERITIES),
  /** How many pages it was about. */
  pages: z.number().int().nonnegative().optional(),
  reason: z.string().optional(),
  expires: z.iso.date('expected a day as "2027-01-31"').optional(),
});
const baselineSchema = z.strictObject({ version: z.literal(1), accepted: z.array(entrySchema) });

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
