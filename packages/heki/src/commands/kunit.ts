import { parseBootParameters } from '@heki/guest';
import { CHANGED_EXPECTATIONS, KUNIT_SUITES, type KunitSuiteName, kunitTests, runKunit } from '@heki/kunit';
import { createSigningAuthority, pcMemoryMap } from '@heki/machine';
import { memoryBytes } from '@heki/scenario';
import type { Profile } from '@heki/series';
import { cpuNamed } from '../assumed-processor.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { HYPERVISORS, hypervisorNamed } from '../hypervisors.ts';
import { type CommandIo, createLineWriter } from '../io.ts';
import { memoryOption } from '../memory-option.ts';

/** Options of `heki kunit`. */
export interface KunitCommandOptions {
  readonly hypervisor?: string;
  readonly profile?: Profile;
  readonly mbec: boolean;
  readonly cpu?: string;
  readonly memory?: string;
  readonly cmdline?: string;
  readonly suite?: readonly string[];
  readonly test?: number;
  readonly list?: boolean;
}

/** A kernel of this size boots fastest. */
const MEMORY = '128MiB';

/** `heki kunit`. Exit code 1 when a test failed. */
export async function kunit(options: KunitCommandOptions, io: CommandIo): Promise<number> {
  const writer = createLineWriter(io.stdout);
  if (options.list === true) {
    refuseBesideList(options);
    for (const line of listing()) await writer.line(line);
    await writer.flush();
    return ExitCode.SUCCESS;
  }
  const { memory = MEMORY, cmdline = '', hypervisor, profile = 'hardened', mbec, cpu } = options;
  const processor = cpu === undefined ? {} : { processor: cpuNamed(cpu) };
  const backend = HYPERVISORS[hypervisorNamed(hypervisor)];
  const authority = createSigningAuthority();
  const boot = parseBootParameters(cmdline);
  for (const line of boot.log) await io.stderr.write(`${line}\n`);
  const test = options.test ?? (boot.test === 0 ? undefined : boot.test);
  const running = runKunit({
    machine: {
      hypervisor: backend.create({ profile, mbec, trusted: authority.signed, ...processor }),
      presentSignature: authority.sign,
      driver: backend.driver,
      profile,
      memoryMap: pcMemoryMap(memoryBytes(memoryOption(memory))),
      commandLine: cmdline,
    },
    suites: suitesOf(options.suite, test),
    ...(test === undefined ? {} : { test }),
  });
  for (;;) {
    const { value, done } = running.next();
    if (done !== true) {
      await writer.line(value);
      await writer.flush();
      continue;
    }
    return value.some(({ status }) => status === 'not ok') ? ExitCode.FAILURE : ExitCode.SUCCESS;
  }
}

/** Nothing is run: what says how would be without effect. */
function refuseBesideList({ mbec, list: _, ...options }: KunitCommandOptions): void {
  const [other] = mbec ? Object.keys(options) : ['no-mbec'];
  if (other !== undefined) throw new UsageError(`--list and --${other}: expected one of them`);
}

/** The suites that were asked for; a number alone means a test of the series. @throws {UsageError} when one has no such test */
function suitesOf(names: readonly string[] | undefined, test: number | undefined): KunitSuiteName[] {
  const wanted = names ?? (test === undefined ? KUNIT_SUITES : ['heki']);
  return wanted.map((name) => {
    const suite = KUNIT_SUITES.find((known) => known === name);
    if (suite === undefined)
      throw new UsageError(`suite ${name}: expected one of ${KUNIT_SUITES.join(', ')}`);
    const tests = kunitTests(suite).length;
    if (test !== undefined && (test < 1 || test > tests)) {
      throw new UsageError(`test ${test} of ${suite}: expected 1 to ${tests}`);
    }
    return suite;
  });
}

function listing(): string[] {
  const tests = KUNIT_SUITES.flatMap((suite) => [
    suite,
    ...kunitTests(suite).map((name, index) => `  ${String(index + 1).padStart(2)} ${name}`),
  ]);
  const changes = CHANGED_EXPECTATIONS.flatMap(({ test, published, port, why }) => [
    `  ${test}`,
    `    published: ${published}`,
    `    port:      ${port}`,
    `    why:       ${why}`,
  ]);
  return [
    ...tests,
    '',
    'What the ports, which run under hardened, expect otherwise than the published tests:',
    ...changes,
  ];
}
