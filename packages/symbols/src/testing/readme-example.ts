import { createRequire } from 'node:module';
import { virtualAddress } from '@heki/physical-memory';
import { createKernelNames, parseSystemMap, readImageSymbols } from '@heki/symbols';
import { resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';

const { resolve } = createRequire(import.meta.url);
const core = openVmcore(resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const root = resolveKernelRoot(core);
// This dump holds page tables alone, so that its kallsyms is not in it: a System.map helps.
const inMemory = readImageSymbols(root, core.vmcoreinfo);
console.log(JSON.stringify(inMemory));
const names = createKernelNames(root, {
  symbols: parseSystemMap('ffffffff81000000 T _text\nffffffff82000000 R rodata\n'),
});
const { symbol, region } = names.at(virtualAddress(0xffffffff81000010n));
console.log(`${symbol?.symbol.name}+0x${symbol?.offset.toString(16)}, in ${region}`);
