import { Errno } from '@heki/linux';
import { hex, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { describeException, type Exception, Vector } from '@heki/vcpu';
import { EntryLow } from '@heki/x86';
import { failureText } from '../framework/run-case.ts';
import type { FailedAccess, Kunit } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';

/** What the tests store. */
const VALUE = 0x11;
/** `PAGE_ALIGN_DOWN`: what else lies in the buffer's first page changes its attributes too. */
export const pageOf = (address: VirtualAddress): VirtualAddress =>
  (address - (address % BigInt(PAGE_SIZE))) as VirtualAddress;

/** The published steps: take the kernel's own protection away, then store (Heki v2 19/19). */
export function writeToRodata(test: Kunit, thread: TestThread, buffer: VirtualAddress): void {
  before(test, thread, buffer);
  for (const what of ['nx', 'rw'] as const) {
    const error = setMemory(thread, what, buffer);
    test.assert(error === 0, `set_memory_${what}() to return 0`, `it returned ${error}`);
  }
  thread.kernel.setToReadonly = true;
  thread.writeByte(buffer, VALUE);
  after(test, thread, buffer);
}

/**
 * The port for a kernel in which Heki refuses `set_memory_rw`: the refusal is expected, and the page-table entry is then made writable by
 * a plain store, so that the second level still has to show what it can.
 */
export function writeToRodataWithFixUp(test: Kunit, thread: TestThread, buffer: VirtualAddress): void {
  before(test, thread, buffer);
  expectError(test, 'set_memory_nx', setMemory(thread, 'nx', buffer), 0);
  expectError(test, 'set_memory_rw', setMemory(thread, 'rw', buffer), -Errno.EPERM);
  thread.kernel.setToReadonly = true;
  thread.setEntry(buffer, thread.entry(buffer).value | BigInt(EntryLow.RW));
  expectDenial(test, thread, 'the store', thread.tryWriteByte(buffer, VALUE), 0x3);
  after(test, thread, buffer);
}

function before(test: Kunit, thread: TestThread, buffer: VirtualAddress): void {
  const { value, level } = thread.entry(buffer);
  test.log(`Page-table entry of ${hex(buffer)}: ${hex(value)}, level ${level}`);
  const byte = thread.readByte(buffer);
  test.expect(byte === 0, 'the first byte of the buffer to be 0', `it is ${hex(byte)}`);
  thread.kernel.setToReadonly = false;
}

function setMemory(thread: TestThread, what: 'nx' | 'rw', buffer: VirtualAddress): number {
  return thread.errorOf(thread.kernel.setMemory(what, pageOf(buffer), 1));
}

function after(test: Kunit, thread: TestThread, buffer: VirtualAddress): void {
  const byte = thread.readByte(buffer);
  test.expect(byte === 0, 'the first byte of the buffer still to be 0', `it is ${hex(byte)}`);
}

/** Expects a function of the kernel to have returned `expected`. */
export function expectError(test: Kunit, name: string, found: number, expected: number): void {
  test.expect(found === expected, `${name}() to return ${expected}`, `it returned ${found}`);
}

/** Expects an access to have been denied: with #PF and `errorCode`, or with #GP(0) where the hypervisor answers so. */
export function expectDenial(
  test: Kunit,
  { denial }: TestThread,
  what: string,
  failed: FailedAccess | undefined,
  errorCode: number,
): void {
  const expected: Exception =
    denial === 'page-fault' ? { vector: Vector.PF, errorCode } : { vector: Vector.GP, errorCode: 0 };
  test.expect(
    failed?.kind === 'exception' &&
      failed.vector === expected.vector &&
      failed.errorCode === expected.errorCode,
    `${what} to end with ${describeException(expected)}`,
    failed === undefined ? 'it completed' : `it ${failureText(failed)}`,
  );
}
