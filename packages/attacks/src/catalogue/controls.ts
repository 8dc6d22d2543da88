import type { VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import { MODULE_FUNCTIONS, moduleImage } from '../kernel/functions.ts';

const at = (address: VirtualAddress, offset: number): VirtualAddress =>
  (address + BigInt(offset)) as VirtualAddress;

/** Work that must go on: a machine on which one of these does not is dead, or protects by breaking the kernel. */
export const CONTROLS: readonly LabAttack[] = [
  {
    name: 'store-data',
    title: 'store to kernel data',
    gains: 'the kernel does its work',
    source: 'every kernel',
    means: [],
    stoppedBy: [],
    legitimate: true,
    run({ aims, cpu, places }) {
      aims.bytes('data', places.credentials);
      cpu.store(places.credentials, 8, 0n);
    },
  },
  {
    name: 'load-module',
    title: 'load a signed module and call a function of it',
    gains: 'drivers work',
    source: 'every kernel',
    means: ['kernel functions'],
    stoppedBy: [],
    legitimate: true,
    run({ aims, cpu, call }) {
      const module = call('load a module', (kernel) => kernel.loadModule(moduleImage('driver')));
      const text = module?.memory.get('text')?.address;
      const check = text === undefined ? undefined : at(text, MODULE_FUNCTIONS.check);
      if (check === undefined) return aims.host();
      aims.reached('a function of the module', check);
      cpu.run(check);
    },
  },
  {
    name: 'unload-module',
    title: 'load a module, unload it, and write to the memory that it had',
    gains: 'memory of drivers comes back',
    source: 'every kernel',
    means: ['kernel functions'],
    stoppedBy: [],
    legitimate: true,
    run({ aims, cpu, call, frameOf, direct }) {
      const module = call('load a module', (kernel) => kernel.loadModule(moduleImage('driver')));
      const text = module?.memory.get('text')?.address;
      if (text === undefined) return aims.host();
      const page = direct(frameOf(text), 0x100);
      call('unload it', (kernel) => kernel.unloadModule('driver'));
      aims.bytes('memory of the module', page);
      cpu.store(page, 8, 0x1234n);
    },
  },
];
