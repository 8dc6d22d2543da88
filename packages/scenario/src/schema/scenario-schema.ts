import type { MachineSpecification } from '@heki/machine';
import { z } from 'zod';
import { machineSchema } from './machine-schema.ts';
import { type ExpectedRights, expectedRightsSchema, type Step, stepSchema } from './step-schema.ts';

/** What a scenario file holds. */
export const scenarioSchema = z
  .strictObject({
    $schema: z.string().optional(),
    title: z.string().min(1).optional(),
    include: z
      .array(z.string().min(1))
      .optional()
      .describe(
        'Scenario files, relative to this one: their steps come first, in order; what this file says of the machine wins',
      ),
    machine: machineSchema.optional(),
    attacks: z
      .array(z.string().min(1))
      .max(32)
      .optional()
      .describe(
        'ES modules with attacks of your own, relative to this file, for the steps of this file and of those that include it; their code is run',
      ),
    initcalls: z
      .array(stepSchema)
      .optional()
      .describe("Steps that are taken during boot: before init memory is freed, and before Heki's late init"),
    steps: z.array(stepSchema).optional(),
    expectRights: z
      .array(expectedRightsSchema)
      .max(1000)
      .optional()
      .describe('What the hypervisor grants in the end; anything else is a finding'),
  })
  .describe('A life of a guest kernel under Heki: a machine that boots, and steps after boot.');

/** A scenario as its file says it. */
export interface Scenario {
  readonly $schema?: string | undefined;
  readonly title?: string | undefined;
  readonly include?: readonly string[] | undefined;
  readonly machine?: MachineSpecification | undefined;
  readonly attacks?: readonly string[] | undefined;
  readonly initcalls?: readonly Step[] | undefined;
  readonly steps?: readonly Step[] | undefined;
  readonly expectRights?: readonly ExpectedRights[] | undefined;
}
