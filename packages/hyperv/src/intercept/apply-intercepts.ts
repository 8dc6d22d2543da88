import { HvCrIntercept } from '@heki/hypercall/hyperv';
import type { VirtualProcessor } from '../partition/partition.ts';
import { MISC_ENABLE, MSR_REGISTERS, TABLE_REGISTERS } from './register-names.ts';

/** Makes exits of what VTL1 intercepts on this processor. To be called again when the processor was reset. */
export function applyIntercepts({ vcpu, intercepts }: VirtualProcessor): void {
  const { controls, registers } = vcpu;
  const { control, cr0Mask, cr4Mask, miscEnableMask } = intercepts;
  const has = (bit: bigint): boolean => (control & bit) !== 0n;
  controls.cr0Mask = has(HvCrIntercept.CR0_WRITE) ? cr0Mask : 0n;
  controls.cr4Mask = has(HvCrIntercept.CR4_WRITE) ? cr4Mask : 0n;
  controls.cr0Shadow = registers.cr0;
  controls.cr4Shadow = registers.cr4;
  const msrs = MSR_REGISTERS.filter(([, , bit]) => has(bit)).map(([, msr]) => msr);
  if (has(HvCrIntercept.MISC_ENABLE_WRITE) && miscEnableMask !== 0n) msrs.push(MISC_ENABLE);
  controls.writeExitingMsrs = new Set(msrs);
  controls.descriptorTableExiting = TABLE_REGISTERS.some(([, , bit]) => has(bit));
}
