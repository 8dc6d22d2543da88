// Which rights do the mappings of a real kernel have, and how large are they?
import { fileURLToPath } from 'node:url';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { PageRights, pageSizeName, upperHalfStart, walkMappings } from '@heki/x86';

const path = fileURLToPath(new URL('../../../fixtures/k61-256-nokaslr.elf.gz', import.meta.url));
const core = openVmcore(path);
const kernel = resolveKernelRoot(core);

const counts = new Map<string, number>();
const { leaves, tables } = walkMappings(
  kernel,
  upperHalfStart(kernel.levels),
  VIRTUAL_FRAME_END as VirtualFrame,
  ({ level, effective }) => {
    const write = (effective & PageRights.WRITE) !== 0 ? 'w' : '-';
    const execute = (effective & PageRights.EXECUTE_DISABLE) === 0 ? 'x' : '-';
    const kind = `r${write}${execute} ${pageSizeName(level)}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  },
);

console.log(`${core.vmcoreinfo?.release}: ${leaves} mappings in ${tables} page-table pages`);
for (const [kind, count] of [...counts].sort()) console.log(`${kind}: ${count}`);
