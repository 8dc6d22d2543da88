import type { VmState } from '../vm-state.ts';

/** Writes one of the lines that the series writes without a rate limit, whatever the guest does (B-H19). */
export function hostLine(vm: VmState, key: string, text: () => string): void {
  if (!vm.defects['B-H19']) vm.log.limited(key, text);
  else if (vm.log.read) vm.log.line(text());
}
