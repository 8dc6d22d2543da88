import { createHyperv } from '@heki/hyperv';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import { createLinuxMachine, type LinuxMachine, pcMemoryMap } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import { compare } from '@heki-internal/bench';
import { beginLife } from './life.ts';
import { runSteps } from './run-scenario.ts';

/** Modules loaded and unloaded in one run, each with two static calls: 1,000 of them take ten runs. */
const MODULES = 100;
const memoryMap = pcMemoryMap(4 * 2 ** 30);

const BACKENDS: readonly (readonly [name: string, boot: () => LinuxMachine])[] = [
  ['KVM without Heki', () => boot({ hypervisor: createKvm(), driver: undefined })],
  ['KVM, hardened', () => boot({ hypervisor: createKvm(), driver: initHekiOnKvm })],
  ['KVM, hardened, no MBEC', () => boot({ hypervisor: createKvm({ mbec: false }), driver: initHekiOnKvm })],
  [
    'KVM, rfc-v2',
    () => boot({ hypervisor: createKvm({ profile: 'rfc-v2' }), driver: initHekiOnKvm, profile: 'rfc-v2' }),
  ],
  [
    'KVM, rfc-v2, no MBEC',
    () =>
      boot({
        hypervisor: createKvm({ profile: 'rfc-v2', mbec: false }),
        driver: initHekiOnKvm,
        profile: 'rfc-v2',
      }),
  ],
  ['KVM, policy in the VMM', () => boot({ hypervisor: createKvmVmm(), driver: initHekiOnKvm })],
  ['KVM, policy in a paired VM', () => boot({ hypervisor: createKvmVtl(), driver: initHekiOnKvm })],
  ['Hyper-V', () => boot({ hypervisor: createHyperv(), driver: initHekiOnHyperv })],
  ['Xen', () => boot({ hypervisor: createXen(), driver: initHekiOnXen })],
];

function boot(options: Omit<Parameters<typeof createLinuxMachine>[0], 'memoryMap'>): LinuxMachine {
  const machine = createLinuxMachine({ memoryMap, ...options });
  if (machine.kernel.boot().kind !== 'done') throw new Error('boot failed');
  return machine;
}

await compare({
  title: 'boot a 4 GiB kernel to init',
  contenders: BACKENDS.map(([name, run]) => ({ name, run })),
});

await compare({
  title: 'load and unload a module of 12 pages',
  contenders: BACKENDS.map(([name, create]) => {
    const life = beginLife(create());
    return {
      name,
      work: { count: MODULES, of: 'modules' },
      run() {
        const [result] = runSteps(life, [{ do: 'churn-modules', count: MODULES }]);
        if (result?.verdict !== 'works') throw new Error(`${name}: ${result?.reason}`);
      },
    };
  }),
});
