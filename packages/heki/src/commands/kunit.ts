import { parseBootParameters } from '@heki/guest';
import { CHANGED_EXPECTATIONS, KUNIT_SUITES, type KunitSuiteName, kunitTests, runKunit } from '@heki/kunit';
import { createSigningAuthority, machineSettings, memoryBytes, pcMemoryMap } from '@heki/machine';
import { ExitCode, UsageError } from '../failure.ts';
import { findBackend } from '../hypervisors.ts';
import { type CommandIo, createLineWriter } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { hypervisorOf, specificationOf } from '../specification.ts';

/** Options of `heki kunit`. */
export interface KunitCommandOptions extends MachineFlags {
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
  const { kernel: _, hypervisor: name, ...specification } = specificationOf({ memory: MEMORY, ...options });
  const backend = await findBackend(name);
  const settings = machineSettings(specification);
  const authority = createSigningAuthority();
  const boot = parseBootParameters(settings.commandLine);
  for (const line of boot.log) await io.stderr.write(`${line}\n`);
  const test = options.test ?? (boot.test === 0 ? undefined : boot.test);
  const running = runKunit({
    machine: {
      ...specification,
      hypervisor: hypervisorOf(backend, specification, authority.signed),
      presentSignature: authority.sign,
      driver: backend.driver,
      memoryMap: pcMemoryMap(memoryBytes(settings.memory)),
    },
    suites: suitesOf(options.suite, test),
    test,
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
      throw new UsageError(`--suite ${name}: expected one of ${KUNIT_SUITES.join(', ')}`);
    const tests = kunitTests(suite).length;
    if (test !== undefined && (test < 1 || test > tests)) {
      throw new UsageError(`--test ${test} of ${suite}: expected 1 to ${tests}`);
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
