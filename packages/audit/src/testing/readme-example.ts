import { createRequire } from 'node:module';
import { auditKernel } from '@heki/audit';
import { createOverlay, virtualAddress } from '@heki/physical-memory';
import { pagingRegistersOf, proveKernelRoot, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { EntryLow, translate } from '@heki/x86';

// Page tables and registers of a Debian 6.1, which comes with @heki/vmcore.
const { resolve } = createRequire(import.meta.url);
const core = openVmcore(resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const { root, levels } = resolveKernelRoot(core);
const cpus = core.cpus.map(({ cr0, cr4 }, cpu) => ({ cpu, cr0, cr4 }));
const memory = createOverlay({ base: core.memory });

function report(when: string) {
  const { findings, worst } = auditKernel({ tables: proveKernelRoot({ memory, root, levels }), cpus });
  console.log(`${when}: at worst ${worst}`);
  for (const { severity, id, summary } of findings) console.log(`  ${severity} ${id}: ${summary}`);
}
report('as it is');

// An attacker sets one bit: R/W in the entry by which the direct map shows the kernel's text.
const text = virtualAddress(0xffff_8880_0100_0000n);
const { steps } = translate(pagingRegistersOf(core), memory, text, { kind: 'read', mode: 'supervisor' });
const leaf = steps.at(-1);
if (leaf === undefined) throw new Error('the direct map does not have it');
const [frame, word] = [Math.floor(leaf.address / 4096), (leaf.address % 4096) / 4];
memory.writablePage(frame as typeof root)?.set([leaf.low | EntryLow.RW], word);
report('after the attack');
