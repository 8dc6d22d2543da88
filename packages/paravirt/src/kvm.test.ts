import type { Gpa } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { describe, expect, test } from 'vitest';
import { initHeki, initHekiOnKvm } from './index.ts';
import { createPort, createRecordingVcpu } from './testing/recording-vcpu.ts';

/** A driver that has found Heki on KVM, and its virtual CPU; what the probe did is forgotten. */
function start(profile: Profile = 'hardened') {
  const vcpu = createRecordingVcpu();
  const guest = createPort();
  const warnings: string[] = [];
  vcpu.answer = () => 1n;
  initHekiOnKvm(guest, { vcpu: () => vcpu, profile, onWarning: (text) => warnings.push(text) });
  vcpu.calls.length = 0;
  vcpu.answer = () => 0n;
  return { vcpu, warnings, hypervisor: guest.hypervisor };
}

describe('the KVM driver', () => {
  test('asks for the version of hypercall 13', () => {
    const vcpu = createRecordingVcpu();
    const guest = createPort();
    vcpu.answer = () => 1n;
    expect(initHekiOnKvm(guest, { vcpu: () => vcpu })).toBe(true);
    expect(vcpu.calls).toEqual(['d 0 0 1']);
    expect(guest.hypervisor).toBeDefined();
  });

  test.each([0n, -1000n, -22n])('leaves the port empty when the answer is %s', (answer) => {
    const vcpu = createRecordingVcpu();
    const guest = createPort();
    vcpu.answer = () => answer;
    expect(initHekiOnKvm(guest, { vcpu: () => vcpu })).toBe(false);
    expect(guest.hypervisor).toBeUndefined();
  });

  test('locks CR0.WP, then those of the CR4 bits that are set', () => {
    const { vcpu, hypervisor } = start();
    vcpu.registers.cr4 = 0x370ef0n;
    expect(hypervisor?.lockCrs()).toBe(0);
    expect(vcpu.calls).toEqual(['d 0 10000 0', 'd 4 310800 0']);
  });

  test('does not go on to CR4 when CR0 is refused', () => {
    const { vcpu, hypervisor } = start();
    vcpu.answer = () => -22n;
    expect(hypervisor?.lockCrs()).toBe(-22);
    expect(vcpu.calls.length).toBe(1);
  });

  test.each([
    ['rfc-v2', -22, 2],
    ['hardened', 0, 1],
  ] as const)('with no CR4 bit to pin gives under %s %i (B-G19)', (profile, result, calls) => {
    const { vcpu, hypervisor } = start(profile);
    vcpu.registers.cr4 = 0x6f0n;
    vcpu.answer = () => (vcpu.registers.rbx === 4n && vcpu.registers.rcx === 0n ? -22n : 0n);
    expect(hypervisor?.lockCrs()).toBe(result);
    expect(vcpu.calls.length).toBe(calls);
  });

  test('hands the list on and gives the result as an int', () => {
    const { vcpu, hypervisor } = start();
    expect(hypervisor?.protectMemory(0xf_ffff_ffff_f000 as Gpa)).toBe(0);
    expect(vcpu.calls).toEqual(['e ffffffffff000 0 0']);
    vcpu.answer = () => -7n;
    expect(hypervisor?.protectMemory(0x1000 as Gpa)).toBe(-7);
    vcpu.answer = () => 0x1_0000_0000n;
    expect(hypervisor?.protectMemory(0x1000 as Gpa)).toBe(0);
  });

  test('warns once when it is called in interrupt context, and calls all the same', () => {
    const { vcpu, hypervisor, warnings } = start();
    hypervisor?.protectMemory(0x1000 as Gpa);
    expect(warnings).toEqual([]);
    vcpu.interruptContext = true;
    hypervisor?.protectMemory(0x1000 as Gpa);
    hypervisor?.protectMemory(0x1000 as Gpa);
    expect(warnings.length).toBe(1);
    expect(vcpu.calls.length).toBe(3);
  });

  test('leaves the registers of its caller alone', () => {
    const { vcpu, hypervisor } = start();
    hypervisor?.lockCrs();
    hypervisor?.protectMemory(0x1000 as Gpa);
    expect(vcpu.registers).toMatchObject({ rax: 0xan, rbx: 0xbn, rcx: 0xcn, rdx: 0xdn });
  });

  test('takes an instruction that does not complete for an unknown hypercall', () => {
    const { vcpu, hypervisor } = start();
    vcpu.answer = () => undefined;
    expect(hypervisor?.protectMemory(0x1000 as Gpa)).toBe(-1000);
    expect(hypervisor?.lockCrs()).toBe(-1000);
  });

  test('runs on the CPU that the kernel runs on at the time', () => {
    const cpus = [createRecordingVcpu(), createRecordingVcpu()] as const;
    let current: 0 | 1 = 0;
    const guest = createPort();
    cpus[0].answer = () => 1n;
    initHekiOnKvm(guest, { vcpu: () => cpus[current] });
    current = 1;
    guest.hypervisor?.protectMemory(0x1000 as Gpa);
    expect([cpus[0].calls.length, cpus[1].calls.length]).toEqual([1, 1]);
  });
});

describe('the hypervisor that the kernel recognised', () => {
  test('decides about the driver', () => {
    const vcpu = createRecordingVcpu();
    const guest = createPort();
    expect(initHeki(guest, 'kvm', { vcpu: () => vcpu })).toBe('unsupported');
    expect(initHeki(guest, 'hyperv', { vcpu: () => vcpu })).toBe('unsupported');
    expect(initHeki(guest, 'none', { vcpu: () => vcpu, profile: 'rfc-v2' })).toBe('unsupported');
    vcpu.answer = () => 1n;
    expect(initHeki(guest, 'kvm', { vcpu: () => vcpu })).toBe('supported');
    expect(vcpu.calls.length).toBe(2);
  });

  test('is called through a null pointer when it is not KVM (B-G21)', () => {
    const vcpu = createRecordingVcpu();
    expect(initHeki(createPort(), 'vmware', { vcpu: () => vcpu, profile: 'rfc-v2' })).toBe('null-call');
    const defects = { 'B-G21': false };
    expect(initHeki(createPort(), 'vmware', { vcpu: () => vcpu, profile: 'rfc-v2', defects })).toBe(
      'unsupported',
    );
    expect(vcpu.calls).toEqual([]);
  });
});
