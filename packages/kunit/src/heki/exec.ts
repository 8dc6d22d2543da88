import { Errno } from '@heki/linux';
import { PAGE_SIZE } from '@heki/physical-memory';
import type { Kunit } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { expectDenial, expectError, pageOf } from './write-to-rodata.ts';

const ARGUMENT = 3n;
/** `exec_size` of the series: two bytes less than the function has. */
const EXEC_SIZE = 7n;
/** Bit 63 of an entry of any level. */
const EXECUTE_DISABLE = 1n << 63n;

/** Pages of the function, first to last, if its size were right. */
function pages({ image }: TestThread): number {
  const first = pageOf(image.execFunction);
  const end = image.execFunction + EXEC_SIZE + BigInt(PAGE_SIZE - 1);
  return Number((end - first) / BigInt(PAGE_SIZE));
}

/** The published test: a function in .rodata is made executable and called (Heki v2 19/19). */
export function exec(test: Kunit, thread: TestThread): void {
  const { kernel, image } = thread;
  const error = thread.errorOf(kernel.setMemory('rox', pageOf(image.execFunction), pages(thread)));
  test.assert(error === 0, 'set_memory_rox() to return 0', `it returned ${error}`);
  result(test, thread.call(image.execFunction, ARGUMENT));
}

/** The port: the refusal of `set_memory_rox` is expected, NX is then taken away by a plain store, and the fetch must fault. */
export function execWithFixUp(test: Kunit, thread: TestThread): void {
  const { kernel, image } = thread;
  const error = thread.errorOf(kernel.setMemory('rox', pageOf(image.execFunction), pages(thread)));
  expectError(test, 'set_memory_rox', error, -Errno.EPERM);
  const { value } = thread.entry(image.execFunction);
  thread.setEntry(image.execFunction, value & ~EXECUTE_DISABLE);
  const called = thread.tryCall(image.execFunction, ARGUMENT);
  expectDenial(test, thread, 'the call', called.kind === 'done' ? undefined : called, 0x11);
  if (called.kind === 'done') result(test, called.value);
}

function result(test: Kunit, value: bigint): void {
  test.log(`Result of execution: ${ARGUMENT} + 1 = ${value}`);
  test.expect(
    value === ARGUMENT,
    `the function not to run and the result to be ${ARGUMENT}`,
    `it is ${value}`,
  );
}
