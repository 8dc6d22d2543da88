import {
  decodeHvResult,
  encodeHvControl,
  encodeHvSetRegisters,
  HV_PARTITION_SELF,
  HV_VP_SELF,
  HvCall,
  HvCrIntercept,
  HvRegister,
} from '@heki/hypercall/hyperv';
import { expect, test } from 'vitest';
import { createTestGuest, type TestGuest } from '../testing/guest.ts';

const MISC_ENABLE = 0x1a0;
/** Bits of it: the mask that VTL1 gives, and what it leaves alone. */
const [XD_DISABLE, OTHERS] = [1n << 34n, 0x85_0089n];

/** VTL1 sets registers of VTL0's intercepts. */
function setOfVtl1({ vm, vcpu }: TestGuest, values: readonly { name: number; value: bigint }[]): number {
  const control = encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: values.length });
  const input = encodeHvSetRegisters({
    partition: HV_PARTITION_SELF,
    vp: HV_VP_SELF,
    vtl: undefined,
    values,
  });
  return decodeHvResult(vm.vtl1Hypercall(vcpu, control, input).result).status;
}

test('a write of IA32_MISC_ENABLE is for VTL1 where it changes a bit of its mask, and done where it changes others', () => {
  const guest = createTestGuest();
  const { vcpu } = guest;
  const intercepts = (): number => guest.events.filter(({ type }) => type === 'intercept-message').length;
  const control = { name: HvRegister.CR_INTERCEPT_CONTROL, value: HvCrIntercept.MISC_ENABLE_WRITE };
  const mask = { name: HvRegister.CR_INTERCEPT_MISC_ENABLE_MASK, value: XD_DISABLE };
  expect(setOfVtl1(guest, [control, mask])).toBe(0);
  expect(vcpu.wrmsr(MISC_ENABLE, OTHERS)).toMatchObject({ kind: 'done' });
  expect(vcpu.emulateRdmsr(MISC_ENABLE)).toBe(OTHERS);
  expect(intercepts()).toBe(0);
  vcpu.wrmsr(MISC_ENABLE, OTHERS | XD_DISABLE);
  expect(intercepts()).toBe(1);
  // The same bit again, from set to set, changes nothing of the mask.
  vcpu.emulateWrmsr(MISC_ENABLE, OTHERS | XD_DISABLE);
  expect(vcpu.wrmsr(MISC_ENABLE, XD_DISABLE)).toMatchObject({ kind: 'done' });
  expect(vcpu.emulateRdmsr(MISC_ENABLE)).toBe(XD_DISABLE);
  vcpu.wrmsr(MISC_ENABLE, 0n);
  expect(intercepts()).toBe(2);
  // Without a mask nothing of it is intercepted.
  expect(setOfVtl1(guest, [{ ...mask, value: 0n }])).toBe(0);
  expect(vcpu.wrmsr(MISC_ENABLE, OTHERS)).toMatchObject({ kind: 'done' });
  expect(intercepts()).toBe(2);
});
