// A kernel that wants Heki, on a hypervisor that has none.
import { readFile } from 'node:fs/promises';
import { createKvm } from '@heki/kvm';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');
const scenario = await loadScenario('scenario.json', read);
const machine = createScenarioMachine(scenario, {
  hypervisor: createKvm,
  onEvent({ event }) {
    if (event.type === 'log' && event.text.startsWith('heki')) console.log(event.text);
  },
});
for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
