import { describeException } from '@heki/vcpu';
import type { CaseResult, FailedAccess, Kunit, KunitCase } from './suite.ts';

/** What ends the thread of a test from within; never leaves this package. */
export class ThreadEnd extends Error {
  /** A failed assertion, which has been reported; a function that gave an error; `kunit_skip`; or an access. */
  readonly why: 'assertion' | 'error' | 'skip' | FailedAccess;

  constructor(message: string, why: ThreadEnd['why']) {
    super(message);
    this.why = why;
  }
}

/** Runs a test on a thread of its own (`kunit_try_catch_run`). `log` gets every line as it comes. */
export function runCase<Thread>(
  { name, run }: KunitCase<Thread>,
  start: () => Thread,
  log: (text: string) => void,
): CaseResult {
  const lines: string[] = [];
  let failed = false;
  const write = (text: string): void => {
    lines.push(text);
    log(text);
  };
  const miss = (kind: string, expected: string, found: string): void => {
    failed = true;
    write(`${name}: ${kind} FAILED`);
    write(`    Expected ${expected}, but ${found}`);
  };
  const test: Kunit = {
    log: (text) => write(`${name}: ${text}`),
    expect(holds, expected, found) {
      if (!holds) miss('EXPECTATION', expected, found);
      return holds;
    },
    assert(holds, expected, found) {
      if (holds) return;
      miss('ASSERTION', expected, found);
      throw new ThreadEnd('a failed assertion', 'assertion');
    },
    skip(reason) {
      throw new ThreadEnd(reason, 'skip');
    },
  };
  let end: ThreadEnd | undefined;
  try {
    run(test, start());
  } catch (thrown) {
    if (!(thrown instanceof ThreadEnd)) throw thrown;
    end = thrown;
  }
  if (end?.why === 'error') {
    failed = true;
    write(`${name}: ${end.message}`);
  }
  const skipped = end?.why === 'skip' && !failed ? end.message : undefined;
  const ended = typeof end?.why === 'object' ? end.why : undefined;
  if (ended !== undefined && end !== undefined) {
    failed = true;
    const verb = ended.kind === 'livelock' ? 'timed out' : 'faulted';
    write(`${name}: try ${verb}: ${end.message} ${failureText(ended)}`);
  }
  const status = failed ? 'not ok' : skipped === undefined ? 'ok' : 'skip';
  return { name, status, log: lines, skipped, ended };
}

/** Why an access did not complete, as the end of a sentence that names it. */
export function failureText(failed: FailedAccess): string {
  switch (failed.kind) {
    case 'exception':
      return `ended with ${describeException(failed)}`;
    case 'livelock': {
      const exception = livelockException(failed);
      const what = exception === undefined ? 'the same exits' : describeException(exception);
      return `is retried for ever: ${what}`;
    }
    case 'absent-table':
      return `met a page table that is not there, at 0x${failed.entry.toString(16)}`;
    case 'triple-fault':
      return 'ended with a triple fault';
    case 'stopped':
      return `stopped the virtual machine: ${failed.why}`;
  }
}

/** The exception that comes again and again in a livelock. */
function livelockException({ cycle }: Extract<FailedAccess, { kind: 'livelock' }>) {
  return cycle.flatMap((turn) => (turn.kind === 'exception' ? [turn.exception] : []))[0];
}
