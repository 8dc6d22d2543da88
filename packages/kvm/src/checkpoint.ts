import type { StateDigest } from '@heki/physical-memory';
import { isAtRest } from './state/at-rest.ts';
import type { VmState } from './vm-state.ts';

/**
 * What brings the VM back to where it is now. `own` does so for what only its kind of owner has. The statistics and the limit of the
 * host's log go on: nothing that a guest can meet depends on them. `undefined` while something is half done or an L2 runs, whose shadow tables are not
 * kept, and with HLAT, whose tables are not.
 */
export function checkpointVm(vm: VmState, own: () => () => void): (() => void) | undefined {
  if (!isAtRest(vm) || vm.nested.size > 0 || vm.hlat !== undefined) return undefined;
  const bindings = [...vm.bindings.values()].map((binding) => ({ binding, ...binding }));
  const pins = { ...vm.pins };
  const { inProgress, sequence } = vm.invalidation;
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
    for (const { binding, cr0, cr4 } of bindings) {
      binding.cr0 = cr0;
      binding.cr4 = cr4;
    }
    vm.pins.cr0 = pins.cr0;
    vm.pins.cr4 = pins.cr4;
    vm.invalidation.inProgress = inProgress;
    vm.invalidation.sequence = sequence;
    for (const back of backs) back();
  };
}

/**
 * What {@link checkpointVm} brings back but for the virtual CPUs, told to `digest`. How many changes of attributes there were before is left out: a fault compares only with the number
 * at which it began.
 */
export function digestVm(vm: VmState, digest: StateDigest): void {
  vm.slots.digest(digest);
  vm.hostFrames.digest(digest);
  vm.attributes.digest(digest);
  digest.addU64(vm.pins.cr0);
  digest.addU64(vm.pins.cr4);
  digest.word(vm.invalidation.inProgress);
  for (const { cr0, cr4 } of vm.bindings.values()) digest.word((cr0 ? 1 : 0) | (cr4 ? 2 : 0));
}
