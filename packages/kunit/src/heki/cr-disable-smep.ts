import { hex } from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import { failureText } from '../framework/run-case.ts';
import type { Kunit } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';

function assertSmep(test: Kunit, thread: TestThread): bigint {
  const cr4 = thread.readCr4();
  test.assert((cr4 & CR4.SMEP) !== 0n, 'cr4 & X86_CR4_SMEP to be set', `CR4 is ${hex(cr4)}`);
  return cr4;
}

/** The published test: a raw MOV clears SMEP (Heki v2 19/19). */
export function crDisableSmep(test: Kunit, thread: TestThread): void {
  const cr4 = assertSmep(test, thread);
  test.log('Clearing SMEP');
  thread.writeCr4(cr4 & ~CR4.SMEP);
  assertSmep(test, thread);
}

/** The same with an entry in the exception table. */
export function crDisableSmepWithFixUp(test: Kunit, thread: TestThread): void {
  const cr4 = assertSmep(test, thread);
  test.log('Clearing SMEP');
  expectGeneralProtection(test, thread, cr4 & ~CR4.SMEP);
  assertSmep(test, thread);
}

/**
 * The only test of Heki v3: SMEP cannot be cleared, alone or together with VME, and may be set again; VME, which is never pinned, may
 * change.
 */
export function crDisableSmepV3(test: Kunit, thread: TestThread): void {
  const cr4 = assertSmep(test, thread);
  expectGeneralProtection(test, thread, cr4 & ~CR4.SMEP);
  assertSmep(test, thread);

  expectAllowed(test, thread, cr4 | CR4.SMEP, 'setting SMEP, which is set');
  for (const value of [cr4 ^ CR4.VME, cr4]) {
    expectAllowed(test, thread, value, 'a change of VME');
    expectCr4(test, thread, value);
  }

  expectAllowed(test, thread, cr4 | CR4.VME, 'setting VME');
  expectGeneralProtection(test, thread, cr4 & ~CR4.SMEP & ~CR4.VME);
  expectCr4(test, thread, cr4 | CR4.VME);
  expectAllowed(test, thread, cr4, 'restoring CR4');
}

function expectGeneralProtection(test: Kunit, thread: TestThread, value: bigint): void {
  const failed = thread.tryWriteCr4(value);
  test.expect(
    failed?.kind === 'exception' && failed.vector === 13 && failed.errorCode === 0,
    `a move of ${hex(value)} to CR4 to end with #GP(0)`,
    failed === undefined ? 'it completed' : `it ${failureText(failed)}`,
  );
}

function expectAllowed(test: Kunit, thread: TestThread, value: bigint, what: string): void {
  const failed = thread.tryWriteCr4(value);
  test.expect(failed === undefined, `${what} to be allowed`, failed === undefined ? '' : failureText(failed));
}

function expectCr4(test: Kunit, thread: TestThread, value: bigint): void {
  const found = thread.readCr4();
  test.expect(found === value, `CR4 to be ${hex(value)}`, `it is ${hex(found)}`);
}
