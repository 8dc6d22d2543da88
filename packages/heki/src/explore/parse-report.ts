import { PROFILES } from '@heki/series';
import { z } from 'zod';
import { parseJson } from '../input/parse-json.ts';

const text = z.string().max(1000);

/** What a file that `--write` wrote says of its machine, as the command's options do. */
const optionsSchema = z.strictObject({
  profile: z.enum(PROFILES).optional(),
  defect: z.record(text, z.boolean()).optional(),
  mbec: z.boolean().optional(),
  cpu: text.optional(),
  without: z.array(text).max(16).optional(),
});
export type MachineOptions = z.infer<typeof optionsSchema>;

/** Of what `heki explore --json` prints, what stories are told by. */
const reportSchema = z.looseObject({
  machine: text.optional(),
  title: text.optional(),
  options: optionsSchema.optional(),
  properties: z.array(
    z.looseObject({
      id: z.string().max(100),
      says: text.optional(),
      verdict: text.optional(),
      story: z.array(text).max(1000).optional(),
    }),
  ),
});
type ExploreReport = z.infer<typeof reportSchema>;

/** A report that `heki explore --json` wrote. @throws {InputError} when it is none */
export function parseReport(json: string, path: string): ExploreReport {
  return parseJson(json, path, reportSchema);
}
