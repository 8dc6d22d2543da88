import { describeSavedLives } from '@heki/hypervisor/conformance/vitest';
import { createKvmPlanes } from '../planes/kvm-planes.ts';
import { createKvmVmm } from '../policy/kvm-vmm.ts';
import { codeLives, LIFE_CODE } from '../testing/code-lives.ts';
import { kvmSetup, policySetup } from '../testing/conformance-setup.ts';
import { planesLives } from '../testing/lives.ts';

/** Some lives of each kind of state; `saved-lives.long.test.ts` has more, on every kind of machine. */
const LIVES = 12;

describeSavedLives('KVM', kvmSetup({}), LIVES);
describeSavedLives(
  'KVM with an owner of code',
  { ...kvmSetup({ authenticate: LIFE_CODE, lifeCycle: { kexec: 'clear' } }), lives: codeLives },
  LIVES,
);
describeSavedLives('kvm-vmm', policySetup(createKvmVmm), LIVES);
describeSavedLives('kvm-planes', { ...policySetup(createKvmPlanes), lives: planesLives }, LIVES);
