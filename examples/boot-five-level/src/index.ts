// 5-level paging: the kernel half is 512 times larger, and a walk has one level more.
import { readFile } from 'node:fs/promises';
import { createKvm } from '@heki/kvm';
import { virtualAddressOf } from '@heki/physical-memory';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');
const scenario = await loadScenario('scenario.json', read);
const machine = createScenarioMachine(scenario, { hypervisor: createKvm });
for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
const { directMap, vmalloc, text, textFrame } = machine.kernel.layout;
for (const [name, frame] of Object.entries({ directMap, vmalloc: vmalloc.start, text })) {
  console.log(`  ${name.padEnd(9)} at 0x${virtualAddressOf(frame).toString(16)}`);
}
console.log(`  the image at physical 0x${textFrame.toString(16)}000`);
