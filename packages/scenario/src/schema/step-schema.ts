import { isAttackName } from '@heki/machine';
import { z } from 'zod';
import { knownAttacks } from '../attack-names.ts';

const name = z.string().min(1).max(64).describe('Chosen here, and used by later steps');
const count = z.int().min(1).max(10_000);
const pages = z.int().min(1).max(4096);
const cpu = z.int().min(0).max(1023);
const where = z
  .string()
  .min(1)
  .describe('`kernel`, the text of the image, or the name of a module that was loaded');

const NO_NAME = 'expected the name of an attack: small letters, digits and hyphens';

const expectation = z
  .enum(['works', 'error', 'oops'])
  .optional()
  .describe('What should come of it; anything else is a finding. Default: works');

/** A kind of step, with fields of its own. */
function step<Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, fields: Fields) {
  return z.strictObject({ do: z.literal(kind), expect: expectation, ...fields });
}

/** One step of a kernel's life. */
export const stepSchema = z.discriminatedUnion('do', [
  step('load-module', {
    name,
    text: pages.optional().describe('Pages of text. Default 4'),
    rodata: pages.optional().describe('Pages of rodata. Default 2'),
    data: pages.optional().describe('Pages of data. Default 2'),
    staticCalls: z
      .int()
      .min(0)
      .max(2000)
      .optional()
      .describe('Static calls, patched when the module comes. Default 0'),
    signed: z
      .boolean()
      .optional()
      .describe(
        'Whether its file is signed, which counts where a secure kernel looks at signatures. Default true',
      ),
  }),
  step('unload-module', { name }),
  step('churn-modules', { count }).describe('Loads and unloads one module after the other'),
  step('load-bpf', {
    name,
    size: z
      .int()
      .min(1)
      .max(2 ** 21)
      .optional()
      .describe('Bytes. Default 300'),
  }),
  step('unload-bpf', { name }),
  step('churn-bpf', { count }).describe('Loads and unloads one eBPF program after the other'),
  step('trace', {
    on: where,
    functions: z.int().min(1).max(60).optional().describe('Default 3'),
  }),
  step('untrace', {}).describe('Stops tracing everything that is traced'),
  step('probe', {
    on: where,
    optimized: z.boolean().optional().describe('A jump, not int3. Default false'),
  }),
  step('unprobe', { on: where }),
  step('static-key', { on: where, enabled: z.boolean() }),
  step('vmalloc', { name, pages }),
  step('vfree', { name }),
  step('set-memory', {
    name: name.describe('Of a vmalloc area'),
    what: z.enum(['ro', 'rw', 'rox', 'x', 'nx', 'np', 'p']),
  }),
  step('cpu-up', { cpu }),
  step('cpu-down', { cpu }),
  step('suspend', {}).describe('Suspend to RAM, and resume'),
  step('plug-memory', {}).describe('A section of 128 MiB is plugged in, and the kernel takes it'),
  step('unplug-memory', {}).describe(
    'The kernel gives up the section that it took last, and it is unplugged',
  ),
  step('balloon', { pages }).describe(
    'The kernel gives pages to the host, which clears them, and takes them back',
  ),
  step('kexec', {}).describe('Hands over to another kernel: the last step'),
  z
    .strictObject({
      do: z.literal('attack'),
      how: z
        .union([z.enum(knownAttacks().map(({ name }) => name)), z.string().refine(isAttackName, NO_NAME)])
        .describe(
          'An attack that comes with heki, or one of a module that the scenario or the command names',
        ),
      on: z
        .string()
        .min(1)
        .optional()
        .describe(
          'Whose text or data: `kernel`, or the name of a module, a program or an area. Default kernel',
        ),
      expect: z
        .enum(['blocked', 'works', 'not-tried'])
        .optional()
        .describe(
          'What should come of it; anything else is a finding. Default: blocked, or not-tried where there is nothing to attack',
        ),
    })
    .describe(
      'Somebody who has got hold of the kernel tries to change its text, to run its data, or to switch off SMEP or Heki itself',
    ),
  step('exhaust-memory', {
    leave: z
      .int()
      .min(0)
      .max(2 ** 24)
      .describe('Frames that stay free'),
  }),
  step('release-memory', {}).describe('Gives back what exhaust-memory took'),
]);

/** One step of a kernel's life. */
export type Step = z.infer<typeof stepSchema>;

/** What the kernel is granted for some pages in the end. */
export const expectedRightsSchema = z.union([
  z.strictObject({
    of: z
      .string()
      .min(1)
      .describe('`module m text`, `program p`, `area a`, `every page`, or a kind of pages: `kernel text`'),
    grants: z
      .string()
      .regex(/^[r-][w-][x-]$/, 'expected rights as r-x')
      .describe('What the hypervisor grants the kernel for each of them: `r-x`'),
  }),
  z.strictObject({
    of: z.string().min(1),
    never: z.literal('wx').describe('None of them may be written and executed'),
  }),
]);

/** What the kernel is to be granted for some pages in the end. */
export type ExpectedRights = z.infer<typeof expectedRightsSchema>;

/** What a step can do. */
export const KINDS_OF_STEPS: readonly string[] = stepSchema.options.map(({ shape }) => shape.do.value);
