import { describeSavedLives } from '@heki/hypervisor/conformance/vitest';
import { AMD_ZEN4, INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { createKvmPlanes } from '../planes/kvm-planes.ts';
import { createKvmVmm } from '../policy/kvm-vmm.ts';
import { createKvmVtl } from '../policy/kvm-vtl.ts';
import { codeLives, LIFE_CODE } from '../testing/code-lives.ts';
import { kvmSetup, policySetup } from '../testing/conformance-setup.ts';
import { planesLives } from '../testing/lives.ts';

/** Lives on each kind of machine. HEKI_RUNS=10 lives ten times as many. */
const LIVES = 96 * Number(process.env.HEKI_RUNS ?? 1);
const { ept } = INTEL_VT_RP;
const withoutFlags = { ...INTEL_VT_RP, ept: ept && { ...ept, accessedDirty: false } };

describeSavedLives('KVM', kvmSetup({}), LIVES);
describeSavedLives('KVM without accessed and dirty flags', kvmSetup({ processor: withoutFlags }), LIVES);
describeSavedLives('KVM without MBEC', kvmSetup({ processor: INTEL_HASWELL }), LIVES);
describeSavedLives('KVM on AMD', kvmSetup({ processor: AMD_ZEN4, lifeCycle: { kexec: 'clear' } }), LIVES);
describeSavedLives('KVM with private memory', kvmSetup({ privateMemory: true, nxHugePages: true }), LIVES);
describeSavedLives('KVM with HLAT', kvmSetup({ hlat: true, processor: INTEL_VT_RP }), LIVES / 4);
describeSavedLives(
  'KVM with an owner of code',
  { ...kvmSetup({ authenticate: LIFE_CODE, lifeCycle: { kexec: 'clear' } }), lives: codeLives },
  LIVES / 4,
);
describeSavedLives('kvm-vmm', policySetup(createKvmVmm), LIVES);
describeSavedLives('kvm-vtl', policySetup(createKvmVtl), LIVES);
describeSavedLives('kvm-planes', { ...policySetup(createKvmPlanes), lives: planesLives }, LIVES / 2);
describeSavedLives('kvm-vmm on AMD', policySetup(createKvmVmm, { processor: AMD_ZEN4 }), LIVES);
