import { z } from 'zod';
import { placeInKernel } from './place.ts';
import { hex } from './report.ts';

/** Attacks and the steps of scenarios. */

const defence = z
  .enum(['guest-page-tables', 'processor', 'second-level', 'cr-pin', 'register-pin', 'hypervisor'])
  .nullable()
  .describe('What stopped it, as the processor and the hypervisor reported it');

const claimedBy = z
  .strictObject({ hardened: z.array(z.string()), 'rfc-v2': z.array(z.string()) })
  .describe(
    'Machines by profile that claim to stop the attack, of a page that no mapping lets the kernel use so',
  );

const attackedBytes = z.strictObject({
  bytes: z.string().regex(/^([0-9a-f]{2})+$/),
  code: z.string().min(1).nullable().describe('Instructions, in Intel syntax; null for data'),
});

const attackOutcome = z.strictObject({
  outcome: z.enum(['succeeded', 'blocked', 'livelock', 'crashed', 'not-tried']),
  by: defence,
  errorCode: hex.nullable(),
  reason: z.string().min(1),
  bytes: z
    .strictObject({
      va: hex,
      from: z.enum(['guest', 'image']).describe('Whose the bytes before are'),
      before: attackedBytes,
      after: attackedBytes.describe('At the access that decided'),
    })
    .nullable()
    .describe('At the target; null where the snapshot has no contents, or the target is a register'),
});

export const attack = z.strictObject({
  name: z.string().min(1),
  target: z
    .strictObject({ va: hex, place: placeInKernel })
    .nullable()
    .describe('An address and what is there; null for a register'),
  without: attackOutcome,
  with: attackOutcome,
  standing: z
    .enum(['stopped-by-heki', 'stopped-anyway', 'not-stopped', 'not-tried', 'works', 'broken'])
    .describe('What the two outcomes say together'),
  claimed: z.boolean().describe('Heki is in force, and this machine claims to stop it on this page'),
  claimedBy,
});

export const initOutcome = z.string().min(1).nullable();

export const step = z.looseObject({
  step: z.looseObject({ do: z.string().min(1) }),
  verdict: z.enum(['works', 'error', 'blocked', 'not-tried', 'invalid', 'oops']),
  reason: z.string().min(1).optional(),
  expected: z.boolean().describe('The verdict is what the scenario expects'),
  by: defence.optional().describe('Of an attack'),
  claimed: z.boolean().optional().describe('Of an attack: this machine, as it was then, claims to stop it'),
  claimedBy: claimedBy.optional(),
});
