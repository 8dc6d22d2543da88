import { z } from 'zod';
import { findingSchema } from '../finding-schema.ts';
import { OUTCOMES, type StoredResult } from '../result.ts';
import { type WorkItem, workItemId } from '../work-item.ts';

const itemSchema = z.object({
  source: z.object({ uri: z.string(), fingerprint: z.string() }),
  command: z.literal('audit'),
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  hekiVersion: z.string(),
});

const resultSchema = z.object({
  id: z.string(),
  item: z.string(),
  outcome: z.enum(OUTCOMES),
  description: z.string(),
  worst: z.string().nullable(),
  kernel: z.string().nullable(),
  findings: z.string(),
  milliseconds: z.number(),
  worker: z.string(),
  finished_at: z.date(),
});

/**
 * The work item of a job; `undefined` where the row holds none, or one that its id is not of, whose result would be another's. Whoever may
 * submit writes such rows as well.
 */
export function jobItemOf(id: string, data: unknown): WorkItem | undefined {
  const { data: item } = itemSchema.safeParse(data);
  return item !== undefined && workItemId(item) === id ? item : undefined;
}

/** A row of the table of results. */
export function resultOf(row: unknown): StoredResult {
  const { id, item, outcome, description, worst, kernel, findings, milliseconds, worker, finished_at } =
    resultSchema.parse(row);
  return {
    ...{ id, outcome, milliseconds, worker },
    item: itemSchema.parse(JSON.parse(item)),
    text: description,
    worst: worst ?? undefined,
    kernel: kernel ?? undefined,
    findings: z.array(findingSchema).parse(JSON.parse(findings)),
    finishedAt: finished_at,
  };
}
