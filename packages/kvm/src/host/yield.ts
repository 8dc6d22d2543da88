import type { StandingFault, YieldPoint } from '@heki/hypervisor';
import type { VmState } from '../vm-state.ts';

/** Others may act here, while this thread keeps its locks. Free where nobody listens. */
export function yieldAt(
  vm: Pick<VmState, 'onYield' | 'locks'>,
  at: YieldPoint,
  fault?: () => StandingFault,
): void {
  const { onYield, locks } = vm;
  if (onYield !== undefined) locks.otherThread(() => onYield(at, fault?.()));
}
