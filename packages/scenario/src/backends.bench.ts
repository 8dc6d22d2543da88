import { createHyperv } from '@heki/hyperv';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import {
  createLinuxMachine,
  createSigningAuthority,
  type LinuxMachine,
  pcMemoryMap,
  type TraceEvent,
} from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import { compare, printTable } from '@heki-internal/bench';
import { createEventCounter, type EventCount } from './event-count.ts';
import { beginLife } from './life.ts';
import { runSteps } from './run-scenario.ts';

/** Modules loaded and unloaded in one run, each with two static calls: 1,000 of them take ten runs. */
const MODULES = 100;
const memoryMap = pcMemoryMap(4 * 2 ** 30);

type Options = Omit<Parameters<typeof createLinuxMachine>[0], 'memoryMap'>;
type Listener = (event: TraceEvent) => void;

/** The guest of LVBS on a Hyper-V that trusts whoever signs its modules. */
function lvbs(): Options {
  const { signed, sign } = createSigningAuthority();
  return {
    hypervisor: createHyperv({ trusted: signed }),
    driver: initHekiOnLvbs,
    presentSignature: sign,
  };
}

const BACKENDS: readonly (readonly [name: string, options: () => Options])[] = [
  ['KVM without Heki', () => ({ hypervisor: createKvm(), driver: undefined })],
  ['KVM, hardened', () => ({ hypervisor: createKvm(), driver: initHekiOnKvm })],
  ['KVM, hardened, no MBEC', () => ({ hypervisor: createKvm({ mbec: false }), driver: initHekiOnKvm })],
  [
    'KVM, rfc-v2',
    () => ({ hypervisor: createKvm({ profile: 'rfc-v2' }), driver: initHekiOnKvm, profile: 'rfc-v2' }),
  ],
  [
    'KVM, rfc-v2, no MBEC',
    () => ({
      hypervisor: createKvm({ profile: 'rfc-v2', mbec: false }),
      driver: initHekiOnKvm,
      profile: 'rfc-v2',
    }),
  ],
  ['KVM, policy in the VMM', () => ({ hypervisor: createKvmVmm(), driver: initHekiOnKvm })],
  ['KVM, policy in a paired VM', () => ({ hypervisor: createKvmVtl(), driver: initHekiOnKvm })],
  ['Hyper-V', () => ({ hypervisor: createHyperv(), driver: initHekiOnHyperv })],
  ['Hyper-V, guest of LVBS', lvbs],
  ['Xen', () => ({ hypervisor: createXen(), driver: initHekiOnXen })],
];

function boot(options: Options, onEvent?: Listener): LinuxMachine {
  const listening = onEvent === undefined ? {} : { onEvent, processorEvents: true };
  const machine = createLinuxMachine({ memoryMap, ...options, ...listening });
  if (machine.kernel.boot().kind !== 'done') throw new Error('boot failed');
  return machine;
}

function churn(name: string, machine: LinuxMachine): () => void {
  const life = beginLife(machine);
  return () => {
    const [result] = runSteps(life, [{ do: 'churn-modules', count: MODULES }]);
    if (result?.verdict !== 'works') throw new Error(`${name}: ${result?.reason}`);
  };
}

const COUNTED = ['calls', 'exits', 'flushes', 'asked'] as const satisfies readonly (keyof EventCount)[];
printTable(
  ['events', ...COUNTED.map((what) => `boot: ${what}`), ...COUNTED.map((what) => `module: ${what}`)],
  BACKENDS.map(([name, options]) => {
    const { onEvent, take } = createEventCounter();
    const machine = boot(options(), onEvent);
    const booting = take();
    churn(name, machine)();
    const churning = take();
    return [
      name,
      ...COUNTED.map((what) => String(booting[what])),
      ...COUNTED.map((what) => (churning[what] / MODULES).toFixed(1)),
    ];
  }),
);

await compare({
  title: 'boot a 4 GiB kernel to init',
  contenders: BACKENDS.map(([name, options]) => ({ name, run: () => boot(options()) })),
});

await compare({
  title: 'load and unload a module of 12 pages',
  contenders: BACKENDS.map(([name, options]) => ({
    name,
    work: { count: MODULES, of: 'modules' },
    run: churn(name, boot(options())),
  })),
});
