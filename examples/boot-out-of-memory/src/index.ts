// One page is left for a list that needs two.
import { readFile } from 'node:fs/promises';
import { createKvm } from '@heki/kvm';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');
const told = new Set(['page-list', 'range-dropped', 'host-memory-corruption', 'rolled-back']);
for (const file of ['scenario.json', 'rfc-v2.json']) {
  const scenario = await loadScenario(file, read);
  const events = new Map<string, number>();
  const machine = createScenarioMachine(scenario, {
    hypervisor: createKvm,
    onEvent: ({ event: { type } }) => told.has(type) && events.set(type, 1 + (events.get(type) ?? 0)),
  });
  for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
  for (const [type, times] of events) console.log(`  ${type}: ${times} times`);
}
