import { z } from 'zod';
import type { ResultFinding } from './result.ts';

/** A finding as reports have it, as far as results keep it. */
export const findingSchema: z.ZodType<ResultFinding> = z.object({
  id: z.string(),
  severity: z.string(),
  summary: z.string(),
  fingerprint: z.string(),
  pages: z.number(),
  fails: z.boolean(),
});
