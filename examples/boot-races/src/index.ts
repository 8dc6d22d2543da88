// Steps on chosen processors, a race, a request that fails, a livepatch, and a guest that moves to another host.
import { readFile } from 'node:fs/promises';
import { createKvm } from '@heki/kvm';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');
for (const file of ['scenario.json', 'rfc-v2.json']) {
  const scenario = await loadScenario(file, read);
  const machine = createScenarioMachine(scenario, { hypervisor: createKvm });
  for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
}
