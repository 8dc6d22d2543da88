import type { KvmDefectId } from '../defects/kvm-defects.ts';
import type { VmState } from '../vm-state.ts';
import type { HostIncident } from './host-incident.ts';

/** Reports what a defect would have done to the host here; the caller ends the call or goes on in bounds. */
export function reportIncident(
  vm: Pick<VmState, 'statistics' | 'emit'>,
  type: HostIncident['type'],
  defect: KvmDefectId,
  amount: bigint,
  unit: HostIncident['unit'],
  text: string,
): void {
  vm.statistics.incidents++;
  vm.emit?.({ type, defect, amount, unit, text });
}
