import { z } from 'zod';
import { findingSchema } from '../finding-schema.ts';
import { OUTCOMES, type StoredResult } from '../result.ts';
import type { WorkItem } from '../work-item.ts';

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

/** The work item that a row holds, which whoever may write to the database has written. */
export function itemOf(data: unknown): WorkItem {
  return itemSchema.parse(typeof data === 'string' ? JSON.parse(data) : data);
}

/** A row of the table of results. */
export function resultOf(row: unknown): StoredResult {
  const { id, item, outcome, description, worst, kernel, findings, milliseconds, worker, finished_at } =
    resultSchema.parse(row);
  return {
    ...{ id, outcome, milliseconds, worker },
    item: itemOf(item),
    text: description,
    worst: worst ?? undefined,
    kernel: kernel ?? undefined,
    findings: z.array(findingSchema).parse(JSON.parse(findings)),
    finishedAt: finished_at,
  };
}
