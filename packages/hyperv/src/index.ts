export type { HypervEvent } from './event.ts';
export { createHyperv, type Hyperv } from './hyperv.ts';
export type { HypervOptions } from './options.ts';
export type {
  TrustedCode,
  TrustedKexecImage,
  TrustedModule,
  TrustedSection,
} from './secure-kernel/trusted-code.ts';
export type { HypervStatistics } from './statistics.ts';
export type { HypervVirtualMachine, SecureKernelFace } from './virtual-machine.ts';
