import { virtualAddress } from '@heki/physical-memory';
import { createVcpu, type Exception, type Vcpu, Vector } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createExceptionHandler, type SpuriousFaultRetry } from './exception-handler.ts';
import { SMALL_KERNEL, smallKernel } from './testing/small-kernel.ts';

const { text, rodata, data } = SMALL_KERNEL;

function setUp(spuriousFaults: SpuriousFaultRetry) {
  const { memory, registers } = smallKernel();
  const handler = createExceptionHandler({ memory, cpu: INTEL_VT_RP, spuriousFaults });
  const vcpu: Vcpu = createVcpu({
    id: 0,
    memory: memory as unknown as Vcpu['memory'],
    profile: INTEL_VT_RP,
    registers: { ...registers, codeSegment64: true },
  });
  const fault = (errorCode: number, address: bigint): Exception => ({
    vector: Vector.PF,
    errorCode,
    cr2: virtualAddress(address),
  });
  return { vcpu, decide: (exception: Exception) => handler(vcpu, exception), fault };
}

describe('a fault that the page tables do not explain', () => {
  test('is retried for ever by Linux as it is', () => {
    const { decide, fault } = setUp('for-ever');
    for (let turn = 0; turn < 5; turn++) expect(decide(fault(0x3, data))).toBe('retry');
    for (let turn = 0; turn < 5; turn++) expect(decide(fault(0x11, text))).toBe('retry');
  });

  test('is retried once when a second one in the same place is a denial', () => {
    const { decide, fault } = setUp('once');
    expect(decide(fault(0x3, data))).toBe('retry');
    expect(decide(fault(0x3, data))).toBe('fatal');
  });

  test('is retried again after progress: at another instruction, another address, or of another kind', () => {
    const { vcpu, decide, fault } = setUp('once');
    expect(decide(fault(0x3, data))).toBe('retry');
    expect(decide(fault(0x3, data + 8n))).toBe('retry');
    expect(decide(fault(0x11, text))).toBe('retry');
    vcpu.registers.rip = virtualAddress(text + 4n);
    expect(decide(fault(0x11, text))).toBe('retry');
    expect(decide(fault(0x11, text))).toBe('fatal');
  });
});

describe('an oops', () => {
  const { decide, fault } = setUp('for-ever');

  test('follows when the page tables forbid the access', () => {
    expect(decide(fault(0x3, rodata))).toBe('fatal');
    expect(decide(fault(0x11, data))).toBe('fatal');
    expect(decide(fault(0x3, 0xffff_ffff_9000_0000n))).toBe('fatal');
  });

  test('follows for every other error code: 0x7, which a read-modify-write brings, 0x1, not present', () => {
    for (const errorCode of [0x0, 0x1, 0x2, 0x7, 0xb, 0x10, 0x13, 0x23]) {
      expect(decide(fault(errorCode, data))).toBe('fatal');
    }
  });

  test('follows for a user address, an invented address and other exceptions', () => {
    expect(decide(fault(0x11, 0x40_0000n))).toBe('fatal');
    expect(decide(fault(0x3, 2n ** 64n - 1n))).toBe('fatal');
    expect(decide({ vector: Vector.PF, errorCode: 0x3 })).toBe('fatal');
    expect(decide({ vector: Vector.GP, errorCode: 0 })).toBe('fatal');
  });
});
