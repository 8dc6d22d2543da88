import {
  CR0_PIN_REQUIRED,
  CR4_PINNED_MASK,
  HEKI_ABI_VERSION,
  KvmError,
  KvmHypercall,
} from '@heki/hypercall/kvm';
import { CR0, CR4 } from '@heki/x86';
import type { Kunit, KunitCase } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { expectResult, needHypercalls } from './hypercall.ts';

const lock = (thread: TestThread, cr: bigint, pin: bigint, flags = 0n): number =>
  thread.hypercall(KvmHypercall.LOCK_CR_UPDATE, cr, pin, flags);

/** A case that expects each request of hypercall 13 to be refused as invalid. */
function refused(
  name: string,
  requests: readonly (readonly [what: string, cr: bigint, pin: bigint, flags?: bigint])[],
): KunitCase<TestThread> {
  return {
    name,
    run(test, thread) {
      needHypercalls(test, thread);
      const cr4 = thread.readCr4();
      for (const [what, cr, pin, flags] of requests) {
        expectResult(test, what, lock(thread, cr, pin, flags), -KvmError.EINVAL);
      }
      // What was refused has pinned nothing: a bit without a pin may change.
      expectFree(test, thread, cr4);
    },
  };
}

function expectFree(test: Kunit, thread: TestThread, cr4: bigint): void {
  for (const value of [cr4 ^ CR4.PGE, cr4]) {
    test.expect(
      thread.tryWriteCr4(value) === undefined,
      'CR4.PGE to be free to change',
      'a move to CR4 faults',
    );
  }
}

/** Hypercall 13. */
export const LOCK_CR_CASES: readonly KunitCase<TestThread>[] = [
  {
    name: 'lock_cr_version',
    run(test, thread) {
      needHypercalls(test, thread);
      expectResult(test, 'the query of the version', lock(thread, 0n, 0n, 1n), HEKI_ABI_VERSION);
    },
  },
  refused('lock_cr_flags', [
    ['an unknown flag', 0n, CR0_PIN_REQUIRED, 2n],
    ['a query of the version with a register', 4n, 0n, 1n],
    ['a query of the version with bits', 0n, CR0_PIN_REQUIRED, 1n],
  ]),
  refused('lock_cr_register', [
    ['CR3', 3n, CR4.SMEP],
    ['CR8', 8n, CR4.SMEP],
    ['register 2^32', 2n ** 32n, CR0_PIN_REQUIRED],
    ['register 2^32 + 4', 2n ** 32n + 4n, CR4.SMEP],
  ]),
  refused('lock_cr_bits', [
    ['CR0 without WP', 0n, CR0.PG],
    ['a bit of CR4 that cannot be pinned', 4n, CR4.PGE],
    ['SMEP and a bit that cannot be pinned', 4n, CR4.SMEP | CR4.PGE],
    ['all bits of CR4', 4n, 2n ** 64n - 1n],
  ]),
  refused('lock_cr_no_bits', [
    ['no bits of CR0', 0n, 0n],
    ['no bits of CR4', 4n, 0n],
  ]),
  {
    name: 'lock_cr_again',
    run(test, thread) {
      needHypercalls(test, thread);
      expectResult(test, 'pinning WP again', lock(thread, 0n, CR0_PIN_REQUIRED), 0);
      expectResult(test, 'pinning SMEP again', lock(thread, 4n, CR4.SMEP), 0);
    },
  },
  {
    name: 'lock_cr_bits_not_set',
    run(test, thread) {
      needHypercalls(test, thread);
      const cr4 = thread.readCr4();
      const clear = CR4_PINNED_MASK & ~cr4;
      if (clear === 0n) test.skip('the kernel has set every bit that can be pinned');
      expectResult(test, 'pinning bits that are not set', lock(thread, 4n, clear), -KvmError.EINVAL);
      expectFree(test, thread, cr4);
    },
  },
];
