import { virtualAddress } from '@heki/physical-memory';
import { type Exception, Vector } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { bootKernel, done } from '../testing/running-kernel.ts';
import { createExceptionHandler, type SpuriousFaultRetry } from './page-fault.ts';

const running = bootKernel({ commandLine: 'nokaslr' });
const text = running.kernel.address('_text');
const rodata = running.kernel.address('__start_rodata');
const data = running.kernel.address('_sdata');

function setUp(spuriousFaults: SpuriousFaultRetry, hasFixup?: () => boolean) {
  const { memory, vcpu } = running;
  const handler = createExceptionHandler({
    memory,
    cpu: INTEL_VT_RP,
    spuriousFaults,
    hasFixup,
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

describe('a fault of a program that its page tables do not explain', () => {
  const { data: pages } = done(running.kernel.startProcess({ text: 1, data: 1, jit: 0 })).areas;
  const root = () => done(running.kernel.startProcess({ text: 1, data: 1, jit: 0 })).pageTableRoot;
  const decisions = (errorCode: number, address: bigint) => {
    const { vcpu, decide, fault } = setUp('once');
    const { cr3 } = vcpu.registers;
    vcpu.registers.cr3 = BigInt(root()) << 12n;
    try {
      return [decide(fault(errorCode, address)), decide(fault(errorCode, address))];
    } finally {
      vcpu.registers.cr3 = cr3;
    }
  };

  test('is retried for a store, as handle_mm_fault does, and a second one is a denial', () => {
    expect(decisions(0x7, pages.address)).toEqual(['retry', 'fatal']);
  });

  test('is a signal for a load and a fetch, for a page that is not there or not writable, for one of the kernel, and with SMAP without U', () => {
    for (const [errorCode, address] of [
      [0x3, pages.address],
      [0x5, pages.address],
      [0x15, pages.address - 4096n],
      [0x7, pages.address - 4096n],
      [0x6, pages.address + 4096n],
      [0x7, data],
    ] as const) {
      expect(decisions(errorCode, address)).toEqual(['fatal', 'fatal']);
    }
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

describe('an instruction in the exception table', () => {
  test('goes on at its fix-up, after every exception that would be an oops', () => {
    let inTable = true;
    const { decide, fault } = setUp('for-ever', () => inTable);
    expect(decide(fault(0x3, rodata))).toBe('fixup');
    expect(decide(fault(0x2, 0xffff_a000_0000_0000n))).toBe('fixup');
    expect(decide({ vector: Vector.GP, errorCode: 0 })).toBe('fixup');
    inTable = false;
    expect(decide(fault(0x3, rodata))).toBe('fatal');
  });

  test('is retried all the same while its fault is taken for spurious', () => {
    const endless = setUp('for-ever', () => true);
    for (let turn = 0; turn < 5; turn++) expect(endless.decide(endless.fault(0x3, data))).toBe('retry');
    const once = setUp('once', () => true);
    expect(once.decide(once.fault(0x3, data))).toBe('retry');
    expect(once.decide(once.fault(0x3, data))).toBe('fixup');
  });
});
