import { CHANGED_EXPECTATIONS, failureText, KUNIT_SUITES, kunitTests, type SuiteResult } from '@heki/kunit';
import type { MachineSettings } from '@heki/machine';
import type { Backend } from '../backend.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import { warningsJson } from '../warning.ts';

/** The outcome of a run of the tests. */
export interface KunitReport {
  readonly backend: Backend;
  /** Of the machine that each test gets for itself. */
  readonly settings: MachineSettings;
  readonly suites: readonly SuiteResult[];
  /** What the kernel says of the options on its command line. */
  readonly log: readonly string[];
  readonly exitCode: number;
}

/** The report as the object that `heki kunit --json` prints. */
export function kunitJson({ backend, settings, suites, log, exitCode }: KunitReport) {
  const statuses = suites.flatMap(({ cases }) => cases.map(({ status }) => status));
  const of = (wanted: (typeof statuses)[number]): number => statuses.filter((one) => one === wanted).length;
  return {
    machine: settings,
    suites: suites.map(({ name, status, cases }) => ({
      name,
      status,
      tests: cases.map(({ skipped, ended, ...result }) => ({
        number: kunitTests(name).indexOf(result.name) + 1,
        name: result.name,
        status: result.status,
        skipped: skipped ?? null,
        ended: ended === undefined ? null : { kind: ended.kind, reason: failureText(ended) },
        log: result.log,
      })),
    })),
    totals: { pass: of('ok'), fail: of('not ok'), skip: of('skip') },
    log,
    exitCode,
    warnings: warningsJson(hypervisorWarnings(backend)),
  };
}

/** What there is, as the object that `heki kunit --list --json` prints. */
export function kunitTestsJson() {
  return {
    suites: KUNIT_SUITES.map((name) => ({ name, tests: kunitTests(name) })),
    changedExpectations: CHANGED_EXPECTATIONS,
  };
}
