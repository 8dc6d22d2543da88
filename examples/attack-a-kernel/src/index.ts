// A real kernel in a virtual machine, attacked from within: with Heki and without.
import { fileURLToPath } from 'node:url';
import { createKvm } from '@heki/kvm';
import { createMachine, findTargets, runAttacks } from '@heki/machine';
import { createMemoryMap, gfn } from '@heki/physical-memory';
import { pagingRegistersOf, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';

const path = fileURLToPath(new URL('../../../fixtures/k61-256-nokaslr.elf.gz', import.meta.url));
const core = openVmcore(path);
const kernel = resolveKernelRoot(core);
const targets = findTargets(kernel);

for (const heki of [false, true]) {
  const attacks = runAttacks({
    targets,
    createMachine() {
      const machine = createMachine({
        hypervisor: createKvm(),
        kernel,
        memoryMap: createMemoryMap([{ start: gfn(0), end: gfn(0xffe0), type: 'ram' }]),
        registers: pagingRegistersOf(core),
        heki,
      });
      machine.earlyInit();
      machine.lateInit();
      return machine;
    },
  });
  console.log(heki ? 'with Heki' : 'without Heki');
  for (const { name, outcome, reason } of attacks) console.log(`  ${name}: ${outcome}: ${reason}`);
}
