import { createHekiGuest } from '@heki/guest';
import { createMemoryMap, type Gfn, gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createLinuxKernel, type LinuxKernel } from '../index.ts';
import { createBareMachine } from '../testing/machine.ts';

/** 4 GiB, with the hole for devices below 4 GiB. */
const memoryMap = createMemoryMap<Gfn>([
  { start: gfn(1), end: gfn(0x9f), type: 'ram' },
  { start: gfn(0x100), end: gfn(0xc0000), type: 'ram' },
  { start: gfn(0x100000), end: gfn(0x140000), type: 'ram' },
]);
const MODULES = 100;
const POKES = 1000;

function boot(heki: boolean): LinuxKernel {
  const core = { hypervisor: { lockCrs: () => 0, protectMemory: () => 0 } };
  const kernel = createLinuxKernel({
    ...createBareMachine(memoryMap),
    memoryMap,
    commandLine: 'nokaslr',
    ...(heki ? { heki: (port) => createHekiGuest({ kernel: port, ...core }) } : {}),
  });
  if (kernel.boot().kind !== 'done') throw new Error('boot failed');
  return kernel;
}

await compare({
  title: 'boot a 4 GiB kernel to init',
  contenders: [
    { name: 'without Heki', run: () => boot(false) },
    { name: 'with Heki, and a hypervisor that only nods', run: () => boot(true) },
  ],
});

const bytes = (pages: number): Uint8Array => new Uint8Array(pages * 4096).fill(0x90);
const image = {
  name: 'module',
  memory: { text: bytes(4), data: bytes(2), rodata: bytes(2), ro_after_init: bytes(1), init_text: bytes(1) },
};

function churn(kernel: LinuxKernel): () => void {
  return () => {
    for (let count = 0; count < MODULES; count++) {
      if (kernel.loadModule(image).kind !== 'done') throw new Error('no module');
      kernel.unloadModule(image.name);
    }
  };
}

const moduleWork = { count: MODULES, of: 'modules' };
await compare({
  title: 'load and unload a module of 10 pages',
  contenders: [
    { name: 'without Heki', run: churn(boot(false)), work: moduleWork },
    { name: 'with Heki, and a hypervisor that only nods', run: churn(boot(true)), work: moduleWork },
  ],
});

function poke(kernel: LinuxKernel): () => void {
  const text = kernel.address('_text');
  const nop = Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0);
  return () => {
    for (let count = 0; count < POKES; count++) {
      if (kernel.textPoke(text, nop).kind !== 'done') throw new Error('no poke');
    }
  };
}

await compare({
  title: 'text_poke of five bytes',
  contenders: [{ name: 'without Heki', run: poke(boot(false)), work: { count: POKES, of: 'pokes' } }],
});
