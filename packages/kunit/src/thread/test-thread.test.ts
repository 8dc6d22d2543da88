import { createKvm } from '@heki/kvm';
import { pcMemoryMap } from '@heki/machine';
import type { VirtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { ThreadEnd } from '../framework/run-case.ts';
import { SMALL_KERNEL } from '../testing/small-kernel.ts';
import { bootTestThread } from './boot-test-thread.ts';

const boot = (profile: Profile) =>
  bootTestThread({
    hypervisor: createKvm({ profile }),
    profile,
    kernel: SMALL_KERNEL,
    memoryMap: pcMemoryMap(2 ** 26),
  });

describe('a thread of the kernel', () => {
  test('dies at #GP, and SMEP stays', () => {
    const thread = boot('rfc-v2');
    const cr4 = thread.readCr4();
    expect(() => thread.writeCr4(cr4 & ~CR4.SMEP)).toThrow(ThreadEnd);
    expect(thread.readCr4()).toBe(cr4);
  });

  test('does not come back from a retry for ever, with or without the exception table, and the byte stays', () => {
    const thread = boot('rfc-v2');
    const { kernel, image } = thread;
    const page = (image.constBuffer - (image.constBuffer % 4096n)) as VirtualAddress;
    kernel.setToReadonly = false;
    expect(thread.errorOf(kernel.setMemory('rw', page, 1))).toBe(0);
    expect(() => thread.writeByte(image.constBuffer, 0x11)).toThrow(ThreadEnd);
    expect(() => thread.tryWriteByte(image.constBuffer, 0x11)).toThrow(ThreadEnd);
    expect(thread.readByte(image.constBuffer)).toBe(0);
  });

  test('calls what lies in memory: the bytes decide', () => {
    const thread = boot('hardened');
    const { kernel, image } = thread;
    const area = thread.must('vmalloc', kernel.vmalloc(1));
    // LEA RAX, [RDI-2]; NOP; RET.
    for (const [index, byte] of [0x48, 0x8d, 0x47, 0xfe, 0x90, 0xc3, 0xcc].entries()) {
      thread.writeByte((area.address + BigInt(index)) as VirtualAddress, byte);
    }
    expect(thread.tryCall(area.address, 44n)).toMatchObject({
      kind: 'exception',
      vector: 14,
      errorCode: 0x11,
    });
    thread.must('set_memory_rox', kernel.setMemory('rox', area.address, 1));
    const { rip } = kernel.vcpu.registers;
    expect(thread.call(area.address, 44n)).toBe(42n);
    expect(kernel.vcpu.registers.rip).toBe(rip);
    const int3 = (area.address + 6n) as VirtualAddress;
    expect(thread.tryCall(int3, 1n)).toMatchObject({ kind: 'exception', vector: 6 });
    expect(thread.readLong(image.execFunction)).toBe(0x0147_8d48_fa1e_0ff3n);
  });

  test('finds the leaf and the frame of an address as the processor does', () => {
    const thread = boot('hardened');
    const area = thread.must('vmalloc', thread.kernel.vmalloc(2));
    const second = (area.address + 4096n) as VirtualAddress;
    thread.writeByte(second, 0x5a);
    expect(thread.readByte(thread.direct(thread.frameOf(second)))).toBe(0x5a);
    const text = thread.kernel.address('_text');
    expect(thread.frameOf(text)).toBe(thread.kernel.layout.textFrame);
    expect(() => thread.entry((area.address + 8192n) as VirtualAddress)).toThrow('nothing is mapped');
  });
});
