import { describe, expect, it } from 'vitest';
import { buildCore, qemuNote } from './testing/build-core.ts';
import { readVmcore } from './vmcore.ts';

describe('the registers in the notes', () => {
  const prstatus = new Uint8Array(336);
  const view = new DataView(prstatus.buffer);
  view.setUint32(32, 2, true);
  for (let index = 0; index < 27; index++) view.setBigUint64(112 + index * 8, BigInt(0x500 + index), true);
  const { cpus, threads } = readVmcore(
    buildCore({
      notes: [
        { name: 'CORE', type: 1, descriptor: prstatus },
        { name: 'CORE', type: 3, descriptor: new Uint8Array(4) },
        qemuNote({ cr3: 0x1000n }),
        qemuNote({ cr3: 0x2000n }),
      ],
    }),
  );

  it('are given for each CPU, in order', () => {
    expect(cpus.map(({ cr3 }) => cr3)).toEqual([0x1000n, 0x2000n]);
  });

  it('stand in the order in which QEMU writes them', () => {
    const cpu = cpus[0];
    expect(
      Object.entries(cpu?.registers ?? {}).map(([name, value]) => [name, Number(value) - 0x100]),
    ).toEqual(
      'rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags'
        .split(' ')
        .map((name, index) => [name, index]),
    );
    expect(Object.keys(cpu?.segments ?? {}).join(' ')).toBe('cs ds es fs gs ss ldt tr gdt idt');
    expect(cpu?.segments.idt).toEqual({
      selector: 9,
      limit: 0x1009,
      flags: 0x2009,
      base: 0xffff_0000_0000_0009n,
    });
    expect([cpu?.cr0, cpu?.cr2, cpu?.cr4, cpu?.kernelGsBase]).toEqual([0x8005_0033n, 2n, 0x20n, 5n]);
  });

  it('lack the GS base of the kernel in the notes of older QEMUs', () => {
    const { name, descriptor } = qemuNote();
    const older = descriptor.slice(0, 432);
    new DataView(older.buffer).setUint32(4, 432, true);
    const core = readVmcore(buildCore({ notes: [{ name, descriptor: older }] }));
    expect(core.cpus[0]?.kernelGsBase).toBeUndefined();
    expect(core.cpus[0]?.cr4).toBe(0x20n);
  });

  it('are told once more for debuggers, in the order of the ptrace interface', () => {
    expect(threads.length).toBe(1);
    expect(threads[0]?.pid).toBe(2);
    const { r15, rax, orig_rax, rip, rflags, ss } = threads[0]?.registers ?? {};
    expect([r15, rax, orig_rax, rip, rflags, ss]).toEqual([0x500n, 0x50an, 0x50fn, 0x510n, 0x512n, 0x514n]);
  });
});
