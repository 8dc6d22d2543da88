export { type ParavirtDefectId, paravirtDefects } from './defects/paravirt-defects.ts';
export type { DriverMemory } from './driver-memory.ts';
export type { DriverVcpu } from './hypercall.ts';
export {
  type HypervDriverOptions,
  type HypervDriverVcpu,
  initHekiOnHyperv,
  initHekiOnLvbs,
} from './hyperv.ts';
export { type DetectedHypervisor, type InitHekiResult, initHeki } from './init-heki.ts';
export { type DriverOptions, type HekiPort, initHekiOnKvm } from './kvm.ts';
export { initHekiOnXen, type XenDriverOptions, type XenDriverVcpu } from './xen.ts';
