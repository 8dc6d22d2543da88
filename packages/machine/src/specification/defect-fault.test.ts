import { createHyperv } from '@heki/hyperv';
import { createKvm, createKvmVmm } from '@heki/kvm';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import { createLinuxMachine, defectFault, MachineError, machineDefects, pcMemoryMap } from '../index.ts';

describe('a defect', () => {
  const hypervisors = { kvm: createKvm(), vmm: createKvmVmm(), hyperv: createHyperv(), xen: createXen() };

  test.each(Object.entries(hypervisors))('of the guest can be switched on %s', (_, hypervisor) => {
    const ofGuest = Object.keys(machineDefects).filter((id) => id !== 'B-G21');
    for (const id of ofGuest) expect(defectFault({ [id]: true }, hypervisor)).toBeUndefined();
  });

  test.each([
    ['hyperv', 'B-H1'],
    ['xen', 'B-H1'],
    ['vmm', 'B-H1'],
    ['kvm', 'B-L1'],
    ['xen', 'B-L5'],
  ] as const)('of another hypervisor than %s is refused: %s', (name, id) => {
    const fault = defectFault({ [id]: true }, hypervisors[name]);
    expect(fault).toMatch(new RegExp(`^defect ${id}: neither the guest nor the hypervisor .* has it`));
  });

  test('that is unknown is refused with those that are written like it', () => {
    expect(defectFault({ 'B-H21': true }, hypervisors.kvm)).toBe(
      'defect B-H21: neither the guest nor the hypervisor kvm has it: like it are B-H1, B-H2, B-H11, B-H20, B-G1',
    );
    expect(defectFault({ nonsense: true }, hypervisors.xen)).toContain('expected one of B-G1, B-G2');
    expect(defectFault({ constructor: true }, hypervisors.xen)).toContain('neither');
  });

  test.each(['B-G9', 'B-G21'])('that no machine shows is refused: %s', (id) => {
    expect(defectFault({ [id]: true }, hypervisors.kvm)).toContain(`defect ${id}: no machine shows it: `);
  });

  test('of the hypervisor must be one that the hypervisor was made with', () => {
    const defective = createKvm({ defects: { 'B-H1': true } });
    expect(defectFault({ 'B-H1': true }, defective)).toBeUndefined();
    expect(defectFault({ 'B-H1': true }, hypervisors.kvm)).toBe(
      'defect B-H1: the hypervisor kvm was made with it off, expected on',
    );
  });

  test('is refused by the machine itself, whoever makes it', () => {
    const make = (): unknown =>
      createLinuxMachine({
        hypervisor: hypervisors.xen,
        memoryMap: pcMemoryMap(2 ** 26),
        defects: { 'B-H1': true },
      });
    expect(make).toThrow(MachineError);
    expect(make).toThrow('defect B-H1');
  });
});
