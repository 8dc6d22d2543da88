export {
  type LvbsDefectId,
  type LvbsVersion,
  lvbsDefects,
} from './defects/lvbs-defects.ts';
export type { HypervEvent } from './event.ts';
export { createHyperv, type Hyperv } from './hyperv.ts';
export type { HypervOptions } from './options.ts';
export type {
  TrustedCode,
  TrustedKexecImage,
  TrustedModule,
  TrustedPatch,
  TrustedSection,
  TrustedSite,
} from './secure-kernel/trusted-code.ts';
export type { HypervStatistics } from './statistics.ts';
export type { HypervVirtualMachine, SecureKernelFace } from './virtual-machine.ts';
