import { parseBootParameters } from '@heki/guest';
import { KUNIT_SUITES, type KunitSuiteName, kunitTests, runKunit, type SuiteResult } from '@heki/kunit';
import { createSigningAuthority, machineSettings, memoryBytes, pcMemoryMap } from '@heki/machine';
import { ExitCode, UsageError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import { type CommandIo, createLineWriter } from '../io.ts';
import { type KunitReport, kunitJson, kunitTestsJson } from '../kunit/kunit-json.ts';
import { kunitListing } from '../kunit/kunit-listing.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { reportHeader } from '../report/report-header.ts';
import { writeReport } from '../report/write-report.ts';
import { hypervisorOf } from '../specification.ts';
import { specificationOf } from '../specification-of-flags.ts';

/** Options of `heki kunit`. */
export interface KunitCommandOptions extends MachineFlags {
  readonly suite?: readonly string[];
  readonly test?: number;
  readonly list?: boolean;
  readonly json?: boolean;
}

/** A kernel of this size boots fastest. */
const MEMORY = '128MiB';

/** `heki kunit`. Prints KTAP as the tests end, or one JSON object in the end. Exit code 1 when a test failed. */
export async function kunit(options: KunitCommandOptions, io: CommandIo): Promise<number> {
  if (options.list === true) {
    refuseBesideList(options);
    await writeReport('kunit-tests', { json: kunitTestsJson, text: kunitListing }, options, io);
    return ExitCode.SUCCESS;
  }
  const { kernel: _, hypervisor: name, ...specification } = specificationOf({ memory: MEMORY, ...options });
  const backend = await findBackend(name);
  const settings = machineSettings({ ...specification, hypervisor: name });
  const authority = createSigningAuthority();
  const boot = parseBootParameters(settings.commandLine);
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
  const { log } = boot;
  if (options.json !== true) {
    const notes = hypervisorWarnings(backend).map(({ message }) => `note: ${message}`);
    for (const line of [...log, ...notes]) await io.stderr.write(`${line}\n`);
    return exitCodeOf(await printKtap(running, io));
  }
  const suites = resultsOf(running);
  const report: KunitReport = { backend, settings, suites, log, exitCode: exitCodeOf(suites) };
  const object = { ...reportHeader('kunit'), ...kunitJson(report) };
  await io.stdout.write(`${JSON.stringify(object, undefined, 2)}\n`);
  return report.exitCode;
}

function exitCodeOf(suites: readonly SuiteResult[]): number {
  return suites.some(({ status }) => status === 'not ok') ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/** Runs the tests, and prints the result of each when it has ended. */
async function printKtap(
  running: ReturnType<typeof runKunit>,
  io: CommandIo,
): Promise<readonly SuiteResult[]> {
  const writer = createLineWriter(io.stdout);
  for (;;) {
    const { value, done } = running.next();
    if (done === true) return value;
    await writer.line(value);
    await writer.flush();
  }
}

/** Runs the tests without a word. */
function resultsOf(running: ReturnType<typeof runKunit>): readonly SuiteResult[] {
  for (;;) {
    const { value, done } = running.next();
    if (done === true) return value;
  }
}

/** Nothing is run: what says how would be without effect. */
function refuseBesideList({ mbec, list: _, json: __, ...options }: KunitCommandOptions): void {
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
