import { readFile } from 'node:fs/promises';
import { createKvm } from '@heki/kvm';
import { createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';
import { readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';
import remapData from './remap-data.mjs';

test('its scenario ends as its README says', async () => {
  const read = (file: string) => readFile(new URL(file, import.meta.url), 'utf8');
  const scenario = await loadScenario('scenario.json', read, {
    loadAttacks: (file) => {
      expect(file).toBe('remap-data.mjs');
      return Promise.resolve([remapData]);
    },
  });
  const machine = createScenarioMachine(scenario, { hypervisor: createKvm });
  const lines = describeScenario(scenario, runScenario(machine, scenario)).slice(0, 4);
  expect(`${lines.join('\n')}\n`).toBe(readmeOutput(import.meta.url));
});
