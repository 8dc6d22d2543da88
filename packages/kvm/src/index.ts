export { Errno } from '@heki/hypercall/errno';
export { type AttributeStore, createAttributeStore } from './attributes/attribute-store.ts';
export type { MemoryAttributes } from './attributes/user-attributes.ts';
export { type KvmDefectId, kvmDefects } from './defects/kvm-defects.ts';
export type { KvmEvent, RangeOutcome } from './event.ts';
export type { EmulationResult } from './exit/emulator.ts';
export type { UserExit, Vmm } from './exit/vmm.ts';
export {
  createLockChecker,
  type LockChecker,
  LockError,
  type LockName,
} from './host/locks.ts';
export { createKvm, type Kvm } from './kvm.ts';
export { type LargePageFlags, type Memslot, MemslotFlag } from './memslots/memslot.ts';
export type { UserspaceMemoryRegion } from './memslots/memslots.ts';
export type {
  HostRegisters,
  KvmVcpuSetup,
  NestedControls,
  NestedExit,
  NestedSetup,
} from './nested/nested-guest.ts';
export type { KvmBudget, KvmOptions, KvmRaces } from './options.ts';
export {
  createKvmPlanes,
  type KvmPlanes,
  type KvmPlanesMachine,
  type OwnerPlane,
} from './planes/kvm-planes.ts';
export { createKvmVmm, type KvmVmm } from './policy/kvm-vmm.ts';
export { createKvmVtl, type KvmVtl, type KvmVtlMachine } from './policy/kvm-vtl.ts';
export type { KvmPolicyOptions } from './policy/options.ts';
export type { AmendedRange, DenialAnswer, HekiPolicy } from './policy/policy.ts';
export type { PolicyExit } from './policy/policy-exit.ts';
export type { KvmPolicyMachine } from './policy/policy-machine.ts';
export type { KvmStatistics } from './statistics.ts';
export type { KvmIoctls, KvmVirtualMachine, LeafCounts } from './virtual-machine.ts';
