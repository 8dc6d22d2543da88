export {
  defectSwitches,
  type KvmDefect,
  type KvmDefectId,
  type KvmDefectSwitches,
  kvmDefects,
} from './defects.ts';
export type { KvmEvent, RangeOutcome } from './event.ts';
export { createKvm, type Kvm } from './kvm.ts';
export type { KvmBudget, KvmOptions, Profile } from './options.ts';
export type { KvmStatistics } from './statistics.ts';
export type { KvmVirtualMachine } from './virtual-machine.ts';
export type { UserExit, Vmm } from './vmm.ts';
