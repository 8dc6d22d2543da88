import { isAtRest } from './state/at-rest.ts';
import type { VmState } from './vm-state.ts';

/**
 * What brings the VM back to where it is now. `own` does so for what only its kind of owner has. The statistics and the limit of the
 * host's log go on: nothing that a guest can meet depends on them. `undefined` while something is half done or an L2 runs, whose shadow tables are not
 * kept, and with HLAT, whose tables are not.
 */
export function checkpointVm(vm: VmState, own: () => () => void): (() => void) | undefined {
  if (!isAtRest(vm) || vm.nested.size > 0 || vm.hlat !== undefined) return undefined;
  const bindings = [...vm.bindings].map(([id, binding]) => [id, { ...binding }] as const);
  const pins = { ...vm.pins };
  const backs = [
    vm.slots.checkpoint(),
    vm.hostFrames.checkpoint(),
    vm.attributes.checkpoint(),
    vm.tables.editor.checkpoint(),
    own(),
    ...vm.vcpus.map((vcpu) => vcpu.checkpoint()),
  ];
  const count = vm.vcpus.length;
  return () => {
    vm.nested.clear();
    vm.vcpus.length = count;
    for (const [id, binding] of bindings) Object.assign(vm.bindings.get(id) ?? {}, binding);
    Object.assign(vm.pins, pins);
    for (const back of backs) back();
  };
}
