import { HvCrIntercept, HvRegister } from '@heki/hypercall/hyperv';

/** MISC_ENABLE has a mask of its own, and no register name here. */
export const MISC_ENABLE = 0x1a0;

/** MSRs whose writes can be intercepted: name of the register, number, bit of the intercept control. */
export const MSR_REGISTERS: readonly (readonly [register: number, msr: number, bit: bigint])[] = [
  [HvRegister.APIC_BASE, 0x1b, HvCrIntercept.APIC_BASE_WRITE],
  [HvRegister.SYSENTER_CS, 0x174, HvCrIntercept.SYSENTER_CS_WRITE],
  [HvRegister.SYSENTER_ESP, 0x175, HvCrIntercept.SYSENTER_ESP_WRITE],
  [HvRegister.SYSENTER_EIP, 0x176, HvCrIntercept.SYSENTER_EIP_WRITE],
  [HvRegister.EFER, 0xc000_0080, HvCrIntercept.EFER_WRITE],
  [HvRegister.STAR, 0xc000_0081, HvCrIntercept.STAR_WRITE],
  [HvRegister.LSTAR, 0xc000_0082, HvCrIntercept.LSTAR_WRITE],
  [HvRegister.CSTAR, 0xc000_0083, HvCrIntercept.CSTAR_WRITE],
  [HvRegister.SFMASK, 0xc000_0084, HvCrIntercept.SFMASK_WRITE],
];

/** Table registers: name, the register of the virtual CPU, bit of the intercept control. */
export const TABLE_REGISTERS = [
  [HvRegister.GDTR, 'gdtr', HvCrIntercept.GDTR_WRITE],
  [HvRegister.IDTR, 'idtr', HvCrIntercept.IDTR_WRITE],
  [HvRegister.LDTR, 'ldtr', HvCrIntercept.LDTR_WRITE],
  [HvRegister.TR, 'tr', HvCrIntercept.TR_WRITE],
] as const;

/** The number of the MSR that has a register name. */
export function msrOfRegister(name: number): number | undefined {
  return MSR_REGISTERS.find(([register]) => register === name)?.[1];
}
