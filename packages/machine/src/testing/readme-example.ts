import { createRequire } from 'node:module';
import { createKvm } from '@heki/kvm';
import { createMachine, findTargets, runAttacks } from '@heki/machine';
import { createMemoryMap, gfn } from '@heki/physical-memory';
import { pagingRegistersOf, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';

const { resolve } = createRequire(import.meta.url);
const core = openVmcore(resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const kernel = resolveKernelRoot(core);
const results = runAttacks({
  targets: findTargets(kernel),
  createMachine() {
    const machine = createMachine({
      hypervisor: createKvm(),
      kernel,
      memoryMap: createMemoryMap([{ start: gfn(0), end: gfn(0xffe0), type: 'ram' }]),
      registers: pagingRegistersOf(core),
    });
    machine.earlyInit();
    machine.lateInit();
    return machine;
  },
});
for (const { name, outcome, reason } of results) console.log(`${name}: ${outcome}: ${reason}`);
