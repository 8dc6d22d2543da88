import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import { AMD_ZEN4, type CpuProfile, CR0, CR4, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createMachine } from '../create-machine.ts';
import type { Machine } from '../machine.ts';
import { smallKernel } from '../testing/small-kernel.ts';
import { keptBits } from './kept-bits.ts';

const PINNED = { cr0: CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE };
const NONE = { cr0: 0n, cr4: 0n };

function protectedMachine(
  hypervisor: Hypervisor<VirtualMachine, BackendEvent>,
  profile: Profile = 'hardened',
  heki = true,
): Machine {
  const { kernel, memoryMap, registers } = smallKernel();
  const machine = createMachine({
    hypervisor,
    driver: initHekiOnKvm,
    profile,
    heki,
    kernel,
    memoryMap,
    registers: { ...registers, cr4: (registers.cr4 ?? 0n) | PINNED.cr4 },
  });
  machine.earlyInit();
  machine.lateInit();
  return machine;
}

function keptOnKvm(processor: CpuProfile, profile: Profile, heki = true) {
  return keptBits(PINNED, () => protectedMachine(createKvm({ processor, profile }), profile, heki));
}

describe('bits that keep their value', () => {
  test('are all that are pinned', () => {
    expect(keptOnKvm(INTEL_VT_RP, 'hardened')).toEqual(PINNED);
    expect(keptOnKvm(AMD_ZEN4, 'hardened')).toEqual(PINNED);
  });

  test('are under the published series those that a guest does not own, and on AMD none', () => {
    const cr4 = CR4.SMEP | CR4.SMAP | CR4.UMIP;
    expect(keptOnKvm(INTEL_VT_RP, 'rfc-v2')).toEqual({ cr0: 0n, cr4 });
    expect(keptOnKvm(AMD_ZEN4, 'rfc-v2')).toEqual(NONE);
  });

  test('are absent without Heki', () => {
    expect(keptOnKvm(INTEL_VT_RP, 'hardened', false)).toEqual(NONE);
  });

  test('leave the registers as they were', () => {
    for (const heki of [true, false]) {
      const machine = protectedMachine(createKvm(), 'hardened', heki);
      const { cr0, cr4 } = machine.vcpu.registers;
      keptBits({ cr0: 0xffff_ffffn, cr4: 0x1_ffff_ffffn }, () => machine);
      expect([machine.vcpu.registers.cr0, machine.vcpu.registers.cr4]).toEqual([cr0, cr4]);
    }
  });

  test('are told where each write stops the guest, too', () => {
    let machines = 0;
    const kept = keptBits(PINNED, () => {
      machines++;
      return protectedMachine(createKvmVmm({ policy: { denied: () => 'stop' } }));
    });
    expect(kept).toEqual(PINNED);
    expect(machines).toBeGreaterThan(1);
  });
});
