// Code runs because of what it is, or because the kernel asks for it.
import { readFile } from 'node:fs/promises';
import { createHyperv } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnLvbs } from '@heki/paravirt';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');
const [signed, asked] = [await loadScenario('scenario.json', read), await loadScenario('kvm.json', read)];
for (const [scenario, machine] of [
  [signed, createScenarioMachine(signed, { hypervisor: createHyperv, driver: initHekiOnLvbs })],
  [asked, createScenarioMachine(asked, { hypervisor: createKvm })],
] as const) {
  for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
}
