import { z } from 'zod';

/** The parts of what `heki fleet` prints. */

const count = z.int().min(0);
const id = z.uuid().describe('Of the work item, its job and its result: made of all that the item says');
const source = z.string().min(1);
const attempts = z.int().min(1);

export const fleetResult = z.strictObject({
  id,
  source,
  fingerprint: z.string().describe('Of the source, when it was submitted'),
  outcome: z.enum(['pass', 'fail', 'unreadable', 'changed']),
  text: z.string().describe('Why, in a line'),
  worst: z.string().nullable(),
  kernel: z.string().nullable(),
  findings: z.array(
    z.strictObject({
      id: z.string(),
      severity: z.string(),
      summary: z.string(),
      fingerprint: z.string(),
      pages: count,
      fails: z.boolean(),
    }),
  ),
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  hekiVersion: z.string(),
  milliseconds: count,
  worker: z.string(),
  finishedAt: z.iso.datetime().describe("By the database's clock"),
});

export const missingFiles = z
  .array(z.string())
  .describe('Files of patterns that are not there: removed since, or their names are no UTF-8');

export const setAsideJob = z.strictObject({ id, source, reason: z.string(), attempts });

export const fleetStatus = {
  waiting: count.describe('For any version of heki'),
  waitingForOthers: z.record(z.string(), count).describe('Of these, by other versions of heki'),
  active: count,
  cancelled: count,
  setAside: count,
  results: z.strictObject({ pass: count, fail: count, unreadable: count, changed: count }),
  lastMinute: count.describe('Results'),
  reasons: z
    .array(z.strictObject({ reason: z.string(), count }))
    .describe('Of what is set aside, the most frequent first, at most twenty'),
};
