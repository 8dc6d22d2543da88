import { VcpuWaits } from '@heki/hypervisor';
import type { VmState } from '../vm-state.ts';

/** Whether no request is half done, and another thread asks in the middle of it: no state can say what is left of it. */
export function isAtRest({ locks }: Pick<VmState, 'locks'>): boolean {
  return !locks.suspended;
}

/** What replaces everything waits until no request is half done. @throws {VcpuWaits} */
export function waitForRequests({ locks }: Pick<VmState, 'locks'>): void {
  if (locks.suspended) throw new VcpuWaits('another processor is in the middle of a request');
}
