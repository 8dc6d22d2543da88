import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import type { LinuxMachineOptions } from '@heki/machine';
import { KunitError } from './error.ts';
import { runCase } from './framework/run-case.ts';
import type { CaseResult, KunitSuite } from './framework/suite.ts';
import { HEKI_V3_SUITE, hekiSuite } from './heki/suites.ts';
import { createKtapWriter } from './ktap/ktap-writer.ts';
import { MODEL_SUITE } from './model/suite.ts';
import { bootTestThread } from './thread/boot-test-thread.ts';
import type { TestThread } from './thread/test-thread.ts';

/** Names of the suites. */
export const KUNIT_SUITES = ['heki', 'heki_v3', 'heki_model'] as const;

/** One of {@link KUNIT_SUITES}. */
export type KunitSuiteName = (typeof KUNIT_SUITES)[number];

/** What is tested, and how. */
export interface KunitOptions<VM extends VirtualMachine, Event extends BackendEvent> {
  /** The machine; every test gets one of its own, because many leave a kernel behind that cannot go on. */
  readonly machine: LinuxMachineOptions<VM, Event>;
  /** Default all. */
  readonly suites?: readonly KunitSuiteName[];
  /** `heki_test=`: only this test of each suite, counted from 1. Default all, one after the other. */
  readonly test?: number | undefined;
}

/** The outcome of a suite. */
export interface SuiteResult {
  readonly name: KunitSuiteName;
  readonly status: CaseResult['status'];
  readonly cases: readonly CaseResult[];
}

/** Names of the tests of a suite, in the order of their numbers, which begin at 1. */
export function kunitTests(name: KunitSuiteName): readonly string[] {
  return suite(name, false).cases.map((one) => one.name);
}

/**
 * Runs the tests in kernels that have booted up to where `heki_late_init` runs them in the series. Yields the lines of KTAP, those
 * of a test when it has ended. Under the profile `rfc-v2` the suite `heki` has the published tests, under `hardened` the ports.
 *
 * @throws {KunitError} when there is no such test
 */
export function* runKunit<VM extends VirtualMachine, Event extends BackendEvent>(
  options: KunitOptions<VM, Event>,
): Generator<string, readonly SuiteResult[], undefined> {
  const { machine, suites = KUNIT_SUITES, test } = options;
  const published = machine.profile === 'rfc-v2';
  const chosen = suites.map((name) => ({ name, cases: chooseCases(suite(name, published), test) }));
  const lines: string[] = [];
  const writer = createKtapWriter((line) => lines.push(line));
  const results: SuiteResult[] = [];
  writer.begin(chosen.length);
  for (const { name, cases } of chosen) {
    writer.beginGroup(name, cases.length);
    const ended: CaseResult[] = [];
    // What our own suite tries must come back, and Linux's retry for ever does not.
    const kernels = name === 'heki_model' ? { ...machine, spuriousFaults: 'once' as const } : machine;
    for (const { number, run } of cases) {
      if (name === 'heki') writer.diagnostic(`heki-guest: Running test #${number}`);
      const result = runCase(run, () => bootTestThread(kernels), writer.diagnostic);
      writer.result(result.name, result.status, result.skipped);
      ended.push(result);
      yield* lines.splice(0);
    }
    results.push({ name, status: writer.endGroup(), cases: ended });
    yield* lines.splice(0);
  }
  return results;
}

function suite(name: KunitSuiteName, published: boolean): KunitSuite<TestThread> {
  switch (name) {
    case 'heki':
      return hekiSuite(published ? 'published' : 'port');
    case 'heki_v3':
      return HEKI_V3_SUITE;
    case 'heki_model':
      return MODEL_SUITE;
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
