import { hypercallResultText } from '@heki/hypercall/kvm';
import type { Kunit } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';

/** Skips the test where KVM's hypercalls are not implemented. */
export function needHypercalls(test: Kunit, { kvmHypercalls }: TestThread): void {
  if (!kvmHypercalls) test.skip("no hypervisor that answers KVM's hypercalls 13 and 14");
}

/** Expects a hypercall to have given `expected`. */
export function expectResult(test: Kunit, what: string, found: number, expected: number): void {
  test.expect(
    found === expected,
    `${what} to give ${hypercallResultText(expected)}`,
    `it gave ${hypercallResultText(found)}`,
  );
}
