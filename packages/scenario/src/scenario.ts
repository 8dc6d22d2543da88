import { PROFILES } from '@heki/series';
import { CPU_PROFILES } from '@heki/x86';
import { z } from 'zod';
import { ScenarioError } from './error.ts';
import { isMemorySize, MEMORY_SIZE } from './memory-size.ts';

const name = z.string().min(1).max(64).describe('Chosen here, and used by later steps');
const count = z.int().min(1).max(10_000);
const pages = z.int().min(1).max(4096);
const cpu = z.int().min(0).max(1023);
const where = z
  .string()
  .min(1)
  .describe('`kernel`, the text of the image, or the name of a module that was loaded');

const expectation = z
  .enum(['works', 'error', 'oops'])
  .optional()
  .describe('What should come of it; anything else is a finding. Default: works');

/** A kind of step, with fields of its own. */
function step<Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, fields: Fields) {
  return z.strictObject({ do: z.literal(kind), expect: expectation, ...fields });
}

/** One step of a kernel's life. */
const stepSchema = z.discriminatedUnion('do', [
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
      how: z.enum([
        'store-text',
        'store-text-direct-map',
        'store-text-after-pte-edit',
        'execute-data',
        'clear-smep',
        'switch-heki-off',
      ]),
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

/** What a step can do. */
const KINDS_OF_STEPS: readonly string[] = stepSchema.options.map(({ shape }) => shape.do.value);

const machineSchema = z.strictObject({
  memory: z
    .string()
    .regex(/^[1-9]\d*(MiB|GiB)$/, `expected ${MEMORY_SIZE}`)
    .refine(isMemorySize, `expected ${MEMORY_SIZE}`)
    .optional()
    .describe('RAM. Default 512MiB'),
  pluggable: z
    .int()
    .min(0)
    .max(64)
    .optional()
    .describe('Sections of 128 MiB that plug-memory takes. Default 0'),
  kernel: z
    .string()
    .min(1)
    .optional()
    .describe(
      "A file with a kernel's symbols, relative to this one: System.map, /proc/kallsyms. Default: Debian's 6.1",
    ),
  vcpus: z.int().min(1).max(64).optional().describe('Default 1'),
  levels: z.literal([4, 5]).optional().describe('Paging levels. Default 4'),
  kaslrSeed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .optional()
    .describe('Seed of KASLR. Without it nothing is randomized'),
  commandLine: z.string().optional().describe('heki=0, rodata=off, nokaslr, pti=on, nosmp, maxcpus=N'),
  hypervisor: z
    .string()
    .optional()
    .describe('Name of a backend, or `none`: one that has no Heki. Default kvm'),
  profile: z.enum(PROFILES).optional().describe('Default hardened'),
  mbec: z.boolean().optional().describe('Mode-based execute control. Default true'),
  cpu: z
    .enum(CPU_PROFILES.map(({ name }) => name))
    .optional()
    .describe(`The processor. Default ${CPU_PROFILES[0]?.name}`),
});

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
    initcalls: z
      .array(stepSchema)
      .optional()
      .describe("Steps that are taken during boot: before init memory is freed, and before Heki's late init"),
    steps: z.array(stepSchema).optional(),
  })
  .describe('A life of a guest kernel under Heki: a machine that boots, and steps after boot.');

/** One step of a kernel's life. */
export type Step = z.infer<typeof stepSchema>;
/** What a scenario runs on. */
export type MachineSpecification = z.infer<typeof machineSchema>;
/** A scenario as its file says it. */
export type Scenario = z.infer<typeof scenarioSchema>;

/**
 * Checks that `value` is a scenario.
 *
 * @param source where it comes from, for errors: a file's name
 * @throws {ScenarioError} names the place and what was expected there
 */
export function parseScenario(value: unknown, source: string): Scenario {
  const result = scenarioSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ScenarioError(`${source}${issue === undefined ? ': no scenario' : issueText(issue, value)}`);
}

/** The place of an issue, what stands there, and what was expected. */
function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  const place = issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(shapeAt(issue.path, value)).filter((key) => key !== '$schema');
    return `${place}: ${issue.keys.join(', ')}: expected ${known.join(', ')}`;
  }
  const found = valueAt(value, issue.path);
  const expected =
    issue.code === 'invalid_union'
      ? `expected one of ${KINDS_OF_STEPS.join(', ')}`
      : lowerFirst(issue.message);
  return `${place}: ${shown(found)}: ${expected}`;
}

/** The fields of the object at `path`. */
function shapeAt([first, index]: readonly PropertyKey[], value: unknown): z.ZodRawShape {
  if (first === undefined) return scenarioSchema.shape;
  if (first === 'machine') return machineSchema.shape;
  const kind = valueAt(value, [first, index ?? 0, 'do']);
  return stepSchema.options.find(({ shape }) => shape.do.value === kind)?.shape ?? {};
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
