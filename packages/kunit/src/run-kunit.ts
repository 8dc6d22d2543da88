import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import { createLinuxMachine, type LinuxMachineOptions } from '@heki/machine';
import { KunitError } from './error.ts';
import { runCase } from './framework/run-case.ts';
import type { CaseResult, KunitSuite } from './framework/suite.ts';
import { HEKI_V3_SUITE, hekiSuite } from './heki/suites.ts';
import { createKtapWriter } from './ktap/ktap-writer.ts';
import { loadTestImage } from './thread/test-image.ts';
import { createTestThread, type TestThread } from './thread/test-thread.ts';

/** Names of the suites. */
export const KUNIT_SUITES = ['heki', 'heki_v3'] as const;

/** One of {@link KUNIT_SUITES}. */
export type KunitSuiteName = (typeof KUNIT_SUITES)[number];

/** What is tested, and how. */
export interface KunitOptions<VM extends VirtualMachine, Event extends BackendEvent> {
  /** The machine; every test gets one of its own, because many leave a kernel behind that cannot go on. */
  readonly machine: LinuxMachineOptions<VM, Event>;
  /** Default all. */
  readonly suites?: readonly KunitSuiteName[];
  /** `heki_test=`: only this test of each suite, counted from 1. Default all, one after the other. */
  readonly test?: number;
  /** Gets each line of KTAP. */
  readonly writeLine?: (line: string) => void;
}

/** What came of a suite. */
export interface SuiteResult {
  readonly name: KunitSuiteName;
  readonly status: CaseResult['status'];
  readonly cases: readonly CaseResult[];
}

/**
 * Runs the tests in kernels that have booted up to where `heki_late_init` runs them in the series, and writes KTAP. Under the
 * profile `rfc-v2` the suite `heki` has the published tests, under `hardened` the ports.
 *
 * @throws {KunitError} when there is no such test, or the kernel does not boot
 */
export function runKunit<VM extends VirtualMachine, Event extends BackendEvent>(
  options: KunitOptions<VM, Event>,
): readonly SuiteResult[] {
  const { machine, suites = KUNIT_SUITES, test, writeLine = () => {} } = options;
  const published = machine.profile === 'rfc-v2';
  const writer = createKtapWriter(writeLine);
  const chosen = suites.map((name) => ({ name, cases: chooseCases(suite(name, published), test) }));
  writer.begin(chosen.length);
  return chosen.map(({ name, cases }) => {
    writer.beginGroup(name, cases.length);
    const results = cases.map(({ number, run }) => {
      if (name === 'heki') writer.diagnostic(`heki-guest: Running test #${number}`);
      const result = runCase(run, () => bootTestThread(machine), writer.diagnostic);
      writer.result(result.name, result.status, result.skipped);
      return result;
    });
    return { name, status: writer.endGroup(), cases: results };
  });
}

function suite(name: KunitSuiteName, published: boolean): KunitSuite<TestThread> {
  switch (name) {
    case 'heki':
      return hekiSuite(published ? 'published' : 'port');
    case 'heki_v3':
      return HEKI_V3_SUITE;
  }
}

function chooseCases({ name, cases }: KunitSuite<TestThread>, test: number | undefined) {
  const numbered = cases.map((run, index) => ({ number: index + 1, run }));
  if (test === undefined) return numbered;
  const chosen = numbered.filter(({ number }) => number === test);
  if (chosen.length === 0) {
    throw new KunitError(`test ${test} of ${name}: expected 1 to ${cases.length}`);
  }
  return chosen;
}

/** Boots a kernel of its own for a test, up to the place in `heki_late_init` where the series runs tests. */
function bootTestThread<VM extends VirtualMachine, Event extends BackendEvent>(
  options: LinuxMachineOptions<VM, Event>,
): TestThread {
  const machine = createLinuxMachine(options);
  const { kernel, heki } = machine;
  const image = loadTestImage(kernel, machine.memory);
  const booted = kernel.boot({ before: 'run_init_process' });
  if (booted.kind === 'oops') {
    throw new KunitError(
      `the kernel does not boot: its ${booted.access} at 0x${booted.address.toString(16)} ended with ${booted.outcome.kind}`,
    );
  }
  if (booted.kind === 'error') throw new KunitError(`the kernel does not boot: ${booted.why}`);
  const kvmHypercalls = options.hypervisor.name === 'kvm' && heki.hypervisor !== undefined;
  return createTestThread({ machine, image, kvmHypercalls });
}
