// A real kernel on a hypervisor of one's own: attacked before the VMM protects its text, and after.
import { fileURLToPath } from 'node:url';
import { formatRights } from '@heki/hypervisor';
import { createMachine, findTargets, runAttacks } from '@heki/machine';
import { createMemoryMap, gfn } from '@heki/physical-memory';
import { pagingRegistersOf, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { myHypervisor } from './my-hypervisor.ts';

const path = fileURLToPath(new URL('../../../fixtures/k61-256-nokaslr.elf.gz', import.meta.url));
const core = openVmcore(path);
const kernel = resolveKernelRoot(core);
const targets = findTargets(kernel);
// The first 4 MiB of the kernel's text, at guest-physical 16 MiB.
const text = { start: gfn(0x1000), end: gfn(0x1400) };
const rights = { read: true, write: false, supervisorExecute: true, userExecute: false };

for (const isProtected of [false, true]) {
  const attacks = runAttacks({
    targets,
    createMachine() {
      const machine = createMachine({
        hypervisor: myHypervisor,
        kernel,
        memoryMap: createMemoryMap([{ start: gfn(0), end: gfn(0xffe0), type: 'ram' }]),
        registers: pagingRegistersOf(core),
        heki: false,
      });
      if (isProtected) {
        machine.virtualMachine.protect([{ ...text, rights }]);
        machine.virtualMachine.pin({ cr4: 1n << 20n });
      }
      return machine;
    },
  });
  console.log(isProtected ? `text is ${formatRights(rights)}, SMEP is pinned` : 'nothing is protected');
  for (const { name, outcome } of attacks) console.log(`  ${name}: ${outcome}`);
}
