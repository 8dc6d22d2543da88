import { AMD_ZEN4, CPU_PROFILES, CR4, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import {
  hypervisorSettings,
  joinSpecifications,
  MachineError,
  machineSettings,
  processorName,
  processorOf,
} from '../index.ts';

describe('a specification', () => {
  test('is a machine with defaults when it says nothing', () => {
    expect(machineSettings({})).toMatchObject({ memory: '512MiB', vcpus: 1, hypervisor: 'kvm', defects: {} });
  });

  test('retries faults for ever under rfc-v2, as Linux does, unless it says otherwise', () => {
    expect(machineSettings({ profile: 'rfc-v2' }).spuriousFaults).toBe('for-ever');
    expect(machineSettings({ profile: 'rfc-v2', spuriousFaults: 'once' }).spuriousFaults).toBe('once');
  });

  test('survives being written and read as JSON', () => {
    const specification = { cpu: { base: 'amd-zen4', npt: { gmet: false } }, defects: { 'B-H1': true } };
    expect(JSON.parse(JSON.stringify(specification))).toEqual(specification);
    expect(hypervisorSettings(specification, {})).toMatchObject({ defects: { 'B-H1': true }, gmet: true });
  });

  test('says the last word over another where it says something, about single defects one by one', () => {
    const joined = joinSpecifications(
      { vcpus: 2, profile: 'rfc-v2', defects: { 'B-H1': true, 'B-G1': false } },
      { vcpus: undefined, levels: 5, defects: { 'B-G1': true } },
    );
    expect(joined).toEqual({
      vcpus: 2,
      profile: 'rfc-v2',
      levels: 5,
      defects: { 'B-H1': true, 'B-G1': true },
    });
  });
});

describe('a processor', () => {
  test.each(CPU_PROFILES.map((processor) => [processor.name, processor] as const))(
    'is named %s',
    (name, processor) => {
      expect(processorOf(name)).toBe(processor);
    },
  );

  test('is a profile with changes', () => {
    const cpu = {
      base: 'intel-vt-rp',
      without: ['SMEP', 'LA57'],
      maxPhysicalAddressBits: 52,
      ept: { modeBasedExecute: false },
    };
    const processor = processorOf(cpu);
    expect(processor.cr4).toBe(INTEL_VT_RP.cr4 & ~(CR4.SMEP | CR4.LA57));
    expect(processor.maxPhysicalAddressBits).toBe(52);
    expect(processor.ept).toEqual({ ...INTEL_VT_RP.ept, modeBasedExecute: false });
    expect(processor.npt).toBeUndefined();
    expect(processorName(cpu)).toBe(processor.name);
    expect(processor.name).toBe(
      'intel-vt-rp (no SMEP, no LA57, maxPhysicalAddressBits 52, modeBasedExecute false)',
    );
    expect(processorOf({ base: 'amd-zen4', npt: { gmet: false } })).toEqual({
      ...AMD_ZEN4,
      name: 'amd-zen4 (gmet false)',
      npt: { ...AMD_ZEN4.npt, gmet: false },
    });
  });

  test.each([
    ['zen', 'cpu zen: expected one of intel-vt-rp, '],
    [{ base: 'zen' }, 'cpu zen: expected one of'],
    [{ base: 'qemu64', without: ['SMEEP'] }, 'cpu without SMEEP: expected one of SMEP'],
    [{ base: 'qemu64', without: ['PAE'] }, 'cpu without PAE: expected one of'],
    [{ base: 'amd-zen4', ept: { hlat: true } }, 'cpu amd-zen4: it has no EPT to change'],
    [{ base: 'intel-vt-rp', npt: { gmet: true } }, 'cpu intel-vt-rp: it has no nested paging to change'],
  ] as const)('that is unknown is refused: %j', (cpu, message) => {
    expect(() => processorOf(cpu)).toThrow(MachineError);
    expect(() => processorOf(cpu)).toThrow(message);
  });
});
