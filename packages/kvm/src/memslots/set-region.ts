import { Errno } from '@heki/hypercall/errno';
import { type GuestMemoryRegion, HypervisorError } from '@heki/hypervisor';
import { addressOf, type Gfn } from '@heki/physical-memory';
import { flushRemoteTlbs, zap } from '../mmu/zap.ts';
import { renewNestedViews } from '../nested/nested.ts';
import type { VmState } from '../vm-state.ts';
import { followHostFrames, forEachName } from './host-frames.ts';
import { type Memslot, MemslotFlag } from './memslot.ts';
import { frameEndOf, type UserspaceMemoryRegion } from './memslots.ts';

/** KVM_SET_USER_MEMORY_REGION: 0 or a negative error number. Attributes belong to frames and outlive the slot. */
export function setRegion(vm: VmState, region: UserspaceMemoryRegion, hostLevel?: number): number {
  return vm.locks.with('slots_lock', () => {
    // As over KVM's own private slots.
    const base = Number(region.guestPhysicalAddress >> 12n);
    if (vm.hlat?.overlaps(base, base + Number(region.memorySize >> 12n)) === true) return -Errno.EEXIST;
    const error = vm.locks.with('slots_arch_lock', () => {
      // Before KVM changes anything: here this is one step, and there the old slots are in use until synchronize_srcu() returns.
      vm.locks.synchronizeSrcu();
      const change = vm.slots.set(region, hostLevel);
      if (typeof change === 'number') return change;
      const { removed, added } = change;
      followHostFrames(vm, change);
      if (removed !== undefined) {
        vm.locks.with('mmu_lock', () => {
          if (zap(vm, removed.base, (removed.base + removed.frames) as Gfn)) flushRemoteTlbs(vm);
        });
      }
      if (added !== undefined) zapOtherNames(vm, added);
      if (added !== undefined && added.mixed !== removed?.mixed) vm.largePages.slotCreated(added);
      return 0;
    });
    if (error === 0) renewNestedViews(vm);
    return error;
  });
}

/** The memory of a slot that comes has other names, whose rights are no longer their own. */
function zapOtherNames(vm: VmState, { base, frames }: Memslot): void {
  if (!vm.hostFrames.isShared(base, base + frames)) return;
  vm.locks.with('mmu_lock', () => {
    let flush = false;
    forEachName(vm, base, base + frames, (start, end) => {
      flush = zap(vm, start, end) || flush;
    });
    if (flush) flushRemoteTlbs(vm);
  });
}

/** A new slot for `region`. @throws {HypervisorError} when it overlaps another or is malformed */
export function addRegion(
  vm: VmState,
  { start, frames, backing, readOnly, largestLeaf = 262144 }: GuestMemoryRegion,
): void {
  const error = setRegion(
    vm,
    {
      slot: vm.slots.freeId,
      flags: readOnly === true ? MemslotFlag.READONLY : 0,
      guestPhysicalAddress: BigInt(addressOf(start)),
      memorySize: BigInt(frames) << 12n,
      userspaceAddress: BigInt(addressOf(backing)),
    },
    largestLeaf === 1 ? 1 : largestLeaf === 512 ? 2 : 3,
  );
  if (error !== 0) {
    const range = `guest frames 0x${start.toString(16)}-0x${(start + frames).toString(16)}`;
    throw new HypervisorError(
      error === -Errno.EEXIST
        ? `${range} overlap other memory of the guest`
        : `${range} are not a region: expected at least one frame, all below 0x${frameEndOf(vm.options.processor).toString(16)}`,
    );
  }
}

/** Takes the slot away that starts at `start`. @throws {HypervisorError} when none does */
export function removeRegion(vm: VmState, start: Gfn): void {
  const slot = vm.slots.slots.find(({ base }) => base === start);
  if (slot === undefined)
    throw new HypervisorError(`no memory starts at guest frame 0x${start.toString(16)}`);
  const { id, flags, base, backing } = slot;
  setRegion(vm, {
    slot: id,
    flags,
    guestPhysicalAddress: BigInt(addressOf(base)),
    memorySize: 0n,
    userspaceAddress: BigInt(addressOf(backing)),
  });
}
