import { expect, test } from 'vitest';
import { CR4, EFER } from './control-registers.ts';
import type { CpuProfile } from './cpu-profile.ts';
import {
  AMD_ZEN4,
  CPU_PROFILES,
  INTEL_DIAMOND_RAPIDS,
  INTEL_HASWELL,
  INTEL_SAPPHIRE_RAPIDS,
  INTEL_SKYLAKE,
  INTEL_VT_RP,
  QEMU64,
} from './cpu-profiles.ts';
import { writeCr4, writeEfer } from './register-write.ts';
import { pagingRegisters } from './registers.ts';

const LONG = pagingRegisters();

test('profiles have names of their own, and the default is the first', () => {
  expect(new Set(CPU_PROFILES.map(({ name }) => name)).size).toBe(CPU_PROFILES.length);
  expect(CPU_PROFILES[0]).toBe(INTEL_VT_RP);
});

test.each(CPU_PROFILES)(
  '$name runs 64-bit kernels, and has one second level, that of its vendor',
  (processor) => {
    const { vendor, ept, npt } = processor;
    expect(writeCr4(LONG, CR4.PAE | CR4.PGE | CR4.PSE, processor).kind).toBe('ok');
    expect(writeEfer(LONG, LONG.efer, processor).kind).toBe('ok');
    expect([ept === undefined, npt === undefined]).toEqual([vendor === 'amd', vendor === 'intel']);
  },
);

test.each(CPU_PROFILES)('$name has no bit of the other vendor’s', ({ vendor, cr4, efer }) => {
  const amdOnly = efer & ~(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
  const intelOnly = cr4 & (CR4.VMXE | CR4.SMXE | CR4.KL | CR4.PKS | CR4.UINTR | CR4.LASS | CR4.LAM_SUP);
  expect(vendor === 'amd' ? intelOnly : amdOnly).toBe(0n);
});

test('features are there from the generation on that brought them', () => {
  const { SMEP, SMAP, PKE, UMIP } = CR4;
  const has = ({ cr4 }: CpuProfile) => [SMEP, SMAP, PKE, UMIP].map((bit) => (cr4 & bit) !== 0n);
  expect(has(INTEL_HASWELL)).toEqual([true, false, false, false]);
  expect(has(INTEL_SKYLAKE)).toEqual([true, true, true, false]);
  for (const later of [INTEL_VT_RP, INTEL_SAPPHIRE_RAPIDS, INTEL_DIAMOND_RAPIDS, AMD_ZEN4]) {
    expect(has(later)).toEqual([true, true, true, true]);
  }
  expect([INTEL_VT_RP.cr4 & CR4.PKS, AMD_ZEN4.cr4 & CR4.PKS]).toEqual([CR4.PKS, 0n]);
});

test('QEMU’s default has neither SMEP nor SMAP nor UMIP, and Zen 4 has automatic IBRS', () => {
  expect(QEMU64.cr4 & (CR4.SMEP | CR4.SMAP | CR4.UMIP)).toBe(0n);
  expect(writeEfer(LONG, LONG.efer | EFER.AIBRSE, AMD_ZEN4).kind).toBe('ok');
  expect(writeEfer(LONG, LONG.efer | EFER.AIBRSE, INTEL_VT_RP).kind).toBe('general-protection');
});

test('second levels have the features of their generation', () => {
  const of = (feature: keyof NonNullable<CpuProfile['ept']>) =>
    CPU_PROFILES.filter(({ ept }) => ept?.[feature] === true).map(({ name }) => name);
  const intel = CPU_PROFILES.filter(({ vendor }) => vendor === 'intel').map(({ name }) => name);
  for (const feature of [
    'executeOnly',
    'twoMegabytePages',
    'gigabytePages',
    'accessedDirty',
    'eptpSwitching',
  ] as const) {
    expect([feature, of(feature)]).toEqual([feature, intel]);
  }
  const sinceSkylake = intel.filter((name) => name !== 'intel-haswell');
  for (const feature of ['modeBasedExecute', 'advancedViolationInfo', 'virtualizationException'] as const) {
    expect([feature, of(feature)]).toEqual([feature, sinceSkylake]);
  }
  const sinceVtRp = sinceSkylake.filter((name) => name !== 'intel-skylake');
  for (const feature of [
    'fiveLevel',
    'supervisorShadowStack',
    'hlat',
    'pagingWrite',
    'guestPagingVerification',
  ] as const) {
    expect([feature, of(feature)]).toEqual([feature, sinceVtRp]);
  }
  expect(of('readModifyWriteReportsRead')).toEqual(['intel-haswell']);
  expect(AMD_ZEN4.npt).toEqual({ gmet: true, readOnlyGuestPageTables: true });
});
