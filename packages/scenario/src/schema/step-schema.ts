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
  .describe('The outcome that is expected; any other is a finding. Default: works');

const attackExpectation = z
  .enum(['blocked', 'works', 'not-tried'])
  .optional()
  .describe(
    'The outcome that is expected; any other is a finding. Default: blocked, or not-tried where there is nothing to attack',
  );

/** A kind of step, with fields of its own. */
function step<Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, fields: Fields) {
  return z.strictObject({ do: z.literal(kind), expect: expectation, ...fields });
}

const onCpu = cpu.optional().describe('The processor that does it. Default: the one that booted');

/** A kind of step that any processor can do. */
function anywhere<Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, fields: Fields) {
  return step(kind, { cpu: onCpu, ...fields });
}

const how = z
  .union([z.enum(knownAttacks().map(({ name }) => name)), z.string().refine(isAttackName, NO_NAME)])
  .describe('An attack that comes with heki, or one of a module that the scenario or the command names');
const on = z
  .string()
  .min(1)
  .optional()
  .describe('Whose text or data: `kernel`, or the name of a module, a program or an area. Default kernel');

/** Work of the kernel. */
const workSchema = z
  .discriminatedUnion('do', [
    anywhere('load-module', {
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
    anywhere('unload-module', { name }),
    anywhere('churn-modules', { count }).describe('Loads and unloads one module after the other'),
    anywhere('load-bpf', {
      name,
      size: z
        .int()
        .min(1)
        .max(2 ** 21)
        .optional()
        .describe('Bytes. Default 300'),
    }),
    anywhere('unload-bpf', { name }),
    anywhere('churn-bpf', { count }).describe('Loads and unloads one eBPF program after the other'),
    anywhere('trace', {
      on: where,
      functions: z.int().min(1).max(60).optional().describe('Default 3'),
    }),
    anywhere('untrace', {}).describe('Stops tracing everything that is traced'),
    anywhere('probe', {
      on: where,
      optimized: z.boolean().optional().describe('A jump, not int3. Default false'),
    }),
    anywhere('unprobe', { on: where }),
    anywhere('static-key', { on: where, enabled: z.boolean() }),
    anywhere('vmalloc', { name, pages }),
    anywhere('vfree', { name }),
    anywhere('set-memory', {
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
    anywhere('balloon', { pages }).describe(
      'The kernel gives pages to the host, which clears them, and takes them back',
    ),
    step('kexec', {}).describe('Hands over to another kernel: the last step'),
    anywhere('livepatch', {
      name: name.describe('Of the module that brings the new functions'),
      on: where,
      functions: z.int().min(1).max(20).optional().describe('Functions that are replaced. Default 3'),
    }).describe('Loads a module, and has ftrace lead calls of old functions to it'),
    anywhere('unlivepatch', { name }).describe(
      'Calls reach the old functions again, and the module is unloaded',
    ),
    anywhere('start-process', {
      name,
      text: pages.optional().describe('Pages of text. Default 2'),
      data: pages.optional().describe('Pages of data. Default 4'),
      jit: z.int().min(0).max(4096).optional().describe('Pages of code that it writes itself. Default 0'),
    }).describe('A user process, with an address space of its own; it has not run yet'),
    anywhere('run-process', { name }).describe(
      'The process runs at CPL 3 and uses each of its pages: fetches code, stores data, writes code and runs it',
    ),
    anywhere('end-process', { name }).describe('Its pages and page tables go back to the kernel'),
    step('exhaust-memory', {
      leave: z
        .int()
        .min(0)
        .max(2 ** 24)
        .describe('Frames that stay free'),
    }),
    step('release-memory', {}).describe('Gives back what exhaust-memory took'),
  ])
  .meta({ id: 'work' });

/** One step of a kernel's life. */
export const stepSchema = z
  .discriminatedUnion('do', [
    ...workSchema.options,
    z
      .strictObject({ do: z.literal('attack'), cpu: onCpu, how, on, expect: attackExpectation })
      .describe(
        'Somebody who has got hold of the kernel tries to change its text, to run its data, or to switch off SMEP or Heki itself',
      ),
    z
      .strictObject({
        do: z.literal('race'),
        work: workSchema,
        how,
        on,
        cpu: cpu.min(1).optional().describe('The processor that attacks meanwhile. Default 1'),
        seed: z
          .int()
          .min(0)
          .max(2 ** 32 - 1)
          .describe('Of the order in which the two have their turns: the same seed, the same race'),
        expect: attackExpectation,
      })
      .describe('One processor does work, and between its accesses another one attacks, again and again'),
    step('fail-hypercall', {
      call: z
        .int()
        .min(1)
        .max(1_000_000)
        .optional()
        .describe('Which one, counted from here. Default 1: the next'),
      error: z.int().min(1).max(4095).describe('The error number that it is answered with: 12 for -ENOMEM'),
    }).describe('A request of the kernel to the hypervisor is going to fail: nothing of it is done'),
    step('save-and-restore', {}).describe(
      'The VMM takes out what the hypervisor enforces, and puts it in again, as where a guest moves to another host',
    ),
  ])
  .meta({ id: 'step' });

/** Work of the kernel. */
export type Work = z.infer<typeof workSchema>;

/** One step of a kernel's life. */
export type Step = z.infer<typeof stepSchema>;

/** What the kernel is granted for some pages in the end. */
export const expectedRightsSchema = z.union([
  z.strictObject({
    of: z
      .string()
      .min(1)
      .describe(
        '`module m text`, `program p`, `area a`, `process p data`, `every page`, or a kind of pages: `kernel text`',
      ),
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

/** What the work of a race can be. */
export const KINDS_OF_WORK: readonly string[] = workSchema.options.map(({ shape }) => shape.do.value);

/** What a step can do. */
export const KINDS_OF_STEPS: readonly string[] = stepSchema.options.map(({ shape }) => shape.do.value);
