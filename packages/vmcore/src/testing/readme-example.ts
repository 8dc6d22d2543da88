import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { infoTlbLine, pagingRegistersOf, parseMemoryMap, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { upperHalfStart, walkMappings } from '@heki/x86';

const { resolve } = createRequire(import.meta.url);
const core = openVmcore(resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const registers = pagingRegistersOf(core);
console.log(core.vmcoreinfo?.release, 'CR4', registers.cr4.toString(16), 'EFER', registers.efer.toString(16));
const { ramEnd } = parseMemoryMap(readFileSync(resolve('@heki/vmcore/data/k61-256-nokaslr.json'), 'utf8'));
console.log('RAM ends at frame', ramEnd.toString(16));

const lines: string[] = [];
const kernel = resolveKernelRoot(core);
console.log(`${kernel.origin.name}: ${kernel.because}`);
walkMappings(kernel, upperHalfStart(kernel.levels), VIRTUAL_FRAME_END as VirtualFrame, (leaf) =>
  lines.push(infoTlbLine(leaf)),
);
console.log(lines.length, 'leaves');
console.log(lines.find((line) => line.startsWith('ffffffff81000000')));
core.close();
