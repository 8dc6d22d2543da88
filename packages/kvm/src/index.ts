export { type AttributeStore, createAttributeStore } from './attribute-store.ts';
export {
  defectSwitches,
  type KvmDefect,
  type KvmDefectId,
  type KvmDefectSwitches,
  kvmDefects,
} from './defects.ts';
export type { EmulationResult } from './emulator.ts';
export { Errno } from './errno.ts';
export type { KvmEvent, RangeOutcome } from './event.ts';
export { createKvm, type Kvm } from './kvm.ts';
export { createLockChecker, KVM_LOCK_ORDER, type LockChecker, LockError, type LockName } from './locks.ts';
export { type LargePageFlags, type Memslot, MemslotFlag } from './memslot.ts';
export type { UserspaceMemoryRegion } from './memslots.ts';
export type { KvmBudget, KvmOptions, Profile } from './options.ts';
export type { KvmStatistics } from './statistics.ts';
export type { MemoryAttributes } from './user-attributes.ts';
export type { KvmIoctls, KvmVirtualMachine, LeafCounts } from './virtual-machine.ts';
export type { UserExit, Vmm } from './vmm.ts';
