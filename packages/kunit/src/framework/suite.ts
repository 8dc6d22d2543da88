import type { Outcome } from '@heki/vcpu';

/** What an access of a test came to that did not complete. */
export type FailedAccess = Exclude<Outcome<unknown>, { kind: 'done' }>;

/** The handle of a running test, `struct kunit`. */
export interface Kunit {
  /** A line of the test's log. */
  log(text: string): void;
  /** KUNIT_EXPECT: the test has failed when `holds` is false, and goes on. Gives `holds`. */
  expect(holds: boolean, expected: string, found: string): boolean;
  /** KUNIT_ASSERT: a test of which `holds` is false ends here. */
  assert(holds: boolean, expected: string, found: string): void;
  /** `kunit_skip`: the test ends here, and counts neither as passed nor as failed. */
  skip(reason: string): never;
}

/** A test. Its steps run on `Thread`, which gives up the test when one of its accesses does not come back. */
export interface KunitCase<Thread> {
  readonly name: string;
  run(test: Kunit, thread: Thread): void;
}

/** Tests under one name. */
export interface KunitSuite<Thread> {
  readonly name: string;
  readonly cases: readonly KunitCase<Thread>[];
}

/** The outcome of a test. */
export interface CaseResult {
  readonly name: string;
  readonly status: 'ok' | 'not ok' | 'skip';
  /** Its log, failed expectations included. */
  readonly log: readonly string[];
  /** Why it was skipped. */
  readonly skipped: string | undefined;
  /** The access at which its thread died or stands still, if it did: the rest of the test did not run. */
  readonly ended: FailedAccess | undefined;
}
