import { createHekiGuest } from '@heki/guest';
import { createMemoryMap, type Gfn, gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createLinuxKernel, type LinuxKernel } from '../index.ts';
import { createBareMachine } from '../testing/machine.ts';

const memoryMap = createMemoryMap<Gfn>([
  { start: gfn(1), end: gfn(0x9f), type: 'ram' },
  { start: gfn(0x100), end: gfn(0x8000), type: 'ram' },
]);
/** As many as the largest module of a real kernel's life has. */
const STATIC_CALLS = 1308;
const SITES = 256;

function boot(heki: boolean): LinuxKernel {
  const hypervisor = { lockCrs: () => 0, protectMemory: () => 0 };
  const kernel = createLinuxKernel({
    ...createBareMachine(memoryMap),
    memoryMap,
    commandLine: 'nokaslr',
    ...(heki ? { heki: (port) => createHekiGuest({ kernel: port, hypervisor }) } : {}),
  });
  if (kernel.boot().kind !== 'done') throw new Error('boot failed');
  return kernel;
}

const contenders = (run: (kernel: LinuxKernel) => () => void, count: number, of: string) => [
  { name: 'without Heki', run: run(boot(false)), work: { count, of } },
  { name: 'with Heki, and a hypervisor that only nods', run: run(boot(true)), work: { count, of } },
];

const image = {
  name: 'module',
  memory: { text: new Uint8Array(196 * 4096).fill(0x90), data: new Uint8Array(4096) },
  sites: { staticCalls: Array.from({ length: STATIC_CALLS }, (_, site) => 512 * site) },
};
const load = (kernel: LinuxKernel) => () => {
  if (kernel.loadModule(image).kind !== 'done') throw new Error('no module');
  kernel.unloadModule(image.name);
};
await compare({
  title: `load and unload a module of ${STATIC_CALLS} static calls`,
  contenders: contenders(load, STATIC_CALLS, 'sites'),
});

const batch = (kernel: LinuxKernel) => {
  const text = kernel.address('_text');
  const sites = Array.from({ length: SITES }, (_, site) => (text + BigInt(64 * site)) as typeof text);
  return () => {
    if (kernel.setStaticKey(sites, true).kind !== 'done') throw new Error('no batch');
  };
};
await compare({
  title: `text_poke_bp_batch of ${SITES} sites`,
  contenders: contenders(batch, SITES, 'sites'),
});
