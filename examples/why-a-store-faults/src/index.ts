import { createRequire } from 'node:module';
import { virtualAddress } from '@heki/physical-memory';
import { pagingRegistersOf } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { describeEntry, translate } from '@heki/x86';

const dump = createRequire(import.meta.url).resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz');
const core = openVmcore(dump);
const [text, store] = [virtualAddress(0xffffffff81000000n), { kind: 'write', mode: 'supervisor' } as const];
const { outcome, steps } = translate(pagingRegistersOf(core), core.memory, text, store);
for (const { level, low, high } of steps) console.log(describeEntry(level, low, high));
if (outcome.kind === 'page-fault') console.log(`#PF ${outcome.errorCode}: ${outcome.causes[0].text}`);
