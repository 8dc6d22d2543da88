import { z } from 'zod';
import { reportHeader, type SchemaName } from '../../report/report-header.ts';

/** The parts that most reports have. */

export const hex = z.string().regex(/^0x[0-9a-f]+$/);
export const letters = z.string().regex(/^[r-][w-][x-]$/);
export const profile = z.enum(['hardened', 'rfc-v2']);

const range = z
  .strictObject({
    pa: hex.describe('Guest-physical address of the first byte'),
    epa: hex.describe('Guest-physical address behind the last byte'),
    mapped: letters.optional().describe("What the kernel's mappings allow together"),
    granted: letters.optional().describe('What the second level grants the kernel'),
    writableAt: hex.optional().describe('A mapping that can be written'),
    executableAt: hex.optional().describe('A mapping that can be executed'),
  })
  .describe('Whole pages');

const warning = z.strictObject({
  id: z.string().min(1).describe('Names the kind, and stays the same'),
  message: z.string().min(1).describe('One sentence for people, without a full stop'),
  explanation: z.string().min(1).optional().describe('What follows from it'),
  ranges: z.array(range).optional().describe('The pages that it is about, ascending'),
});

export const counted = z.strictObject({ stopped: z.int().min(0), red: z.int().min(0) });

export const warnings = z.array(warning).describe('What a reader must know to take the rest rightly');
export const assumed = z.array(warning).describe('What was assumed, because no option says otherwise');
export const notCovered = z.array(warning).describe('What the result does not speak about');

export const verdict = z
  .strictObject({
    exitCode: z.literal([0, 1]),
    strict: z.boolean().describe('`--strict` was given'),
    inForce: z
      .boolean()
      .describe('Heki protects the memory of the kernel, and the hypervisor took every request'),
    refusal: z
      .strictObject({
        outcome: z.string().min(1).describe('The outcome of early or late init, or `request-refused`'),
        message: z.string().min(1),
        error: z.int().nullable().describe('The error number that a request was answered with'),
      })
      .nullable()
      .describe('Why the kernel is not protected'),
    findings: z.array(
      z.strictObject({
        id: z.enum([
          'refused',
          'walk-cut-short',
          'claimed-attack-succeeded',
          'rights-beyond-mappings',
          'work-broken',
          'unexpected',
        ]),
        message: z.string().min(1),
        fails: z
          .boolean()
          .describe('It makes the exit code 1. Under rfc-v2 its own defects do so only with `--strict`'),
      }),
    ),
  })
  .describe('What the exit code says, and why');

/** What every object begins with. */
export function published<Shape extends z.ZodRawShape>(name: SchemaName, of: string, shape: Shape) {
  const { tool, schema } = reportHeader(name);
  return z
    .looseObject({
      tool: z.strictObject({ name: z.literal(tool.name), version: z.string().min(1) }),
      schema: z
        .strictObject({ name: z.literal(schema.name), version: z.literal(schema.version) })
        .describe('Of this shape: the version grows when a reader could stumble over a change'),
      ...shape,
    })
    .describe(`What \`heki ${of}\` prints`);
}
