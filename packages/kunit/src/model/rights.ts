import type { VirtualAddress } from '@heki/physical-memory';
import { EntryLow } from '@heki/x86';
import type { Kunit } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';

/** Bit 63 of an entry of any level. */
const EXECUTE_DISABLE = 1n << 63n;

/**
 * What the second level lets the kernel do with the page at an address: `rw-`, `r-x`. Found out by doing it, through a leaf that is
 * made writable and executable for the purpose; it and the page are as before in the end.
 */
export function secondLevelRights(thread: TestThread, address: VirtualAddress): string {
  const { value } = thread.entry(address);
  thread.setEntry(address, (value | BigInt(EntryLow.RW)) & ~EXECUTE_DISABLE);
  const writable = thread.tryWriteByte(address, thread.readByte(address)) === undefined;
  const executable = thread.tryFetch(address) === undefined;
  thread.setEntry(address, value);
  return `r${writable ? 'w' : '-'}${executable ? 'x' : '-'}`;
}

/** Expects {@link secondLevelRights}. */
export function expectRights(
  test: Kunit,
  thread: TestThread,
  what: string,
  address: VirtualAddress,
  expected: string,
): void {
  const found = secondLevelRights(thread, address);
  test.expect(found === expected, `${what} to be ${expected} in the second level`, `it is ${found}`);
}
