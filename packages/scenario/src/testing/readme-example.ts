import { createKvm } from '@heki/kvm';
import { type ComposedScenario, createScenarioMachine, describeScenario, runScenario } from '@heki/scenario';

for (const profile of ['hardened', 'rfc-v2'] as const) {
  const scenario: ComposedScenario = {
    title: `A driver, under ${profile}`,
    machine: { memory: '128MiB', profile },
    steps: [
      { do: 'load-module', name: 'driver', staticCalls: 4 },
      { do: 'trace', on: 'driver', functions: 2 },
      { do: 'trace', on: 'kernel', expect: 'error' },
    ],
  };
  const machine = createScenarioMachine(scenario, { hypervisor: createKvm });
  for (const line of describeScenario(scenario, runScenario(machine, scenario))) console.log(line);
}
