import { createRequire } from 'node:module';
import { auditKernel } from '@heki/audit';
import { createOverlay, type Gfn } from '@heki/physical-memory';
import { proveKernelRoot, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { EntryLow } from '@heki/x86';

const core = openVmcore(createRequire(import.meta.url).resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const cpus = core.cpus.map(({ cr0, cr4 }, cpu) => ({ cpu, cr0, cr4 }));
const sound = resolveKernelRoot(core);
for (const { severity, summary } of auditKernel({ tables: sound, cpus }).findings)
  console.log(severity, summary);

// What a kernel exploit with one write would do: R/W in the direct map's entry for the second 2 MiB of the text.
const memory = createOverlay<Gfn>({ base: core.memory });
const table = [...auditKernel({ tables: sound, cpus }).kernel.tableFrames].find(
  (frame) => (memory.page(frame)?.[2 * 9] ?? 0) >>> 12 === 0x1200,
);
const page = table === undefined ? undefined : memory.writablePage(table);
if (page !== undefined) page[2 * 9] = (page[2 * 9] ?? 0) | EntryLow.RW;
const { worst, findings } = auditKernel({ tables: proveKernelRoot({ ...sound, memory }), cpus });
console.log(`worst: ${worst}. ${findings[0]?.summary}`);
