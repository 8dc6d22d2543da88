import { createKvm } from '@heki/kvm';
import { createLinuxMachine, pcMemoryMap } from '@heki/machine';
import { parseScenario, runScenario } from '@heki/scenario';

const { steps = [] } = parseScenario(
  {
    steps: [
      { do: 'load-module', name: 'driver', staticCalls: 4 },
      { do: 'trace', on: 'driver', functions: 2 },
      { do: 'trace', on: 'kernel', expect: 'error' },
      { do: 'unload-module', name: 'driver' },
    ],
  },
  'example',
);
for (const profile of ['hardened', 'rfc-v2'] as const) {
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile }),
    memoryMap: pcMemoryMap(128 * 2 ** 20),
    profile,
  });
  const { steps: taken, classes } = runScenario(machine, steps);
  for (const { step, verdict, reason = '' } of taken) console.log(profile, step.do, verdict, reason);
  for (const { name, writableAndExecutable: pages } of classes) {
    if (pages > 0) console.log(`${profile}: ${pages} pages writable and executable: ${name}`);
  }
}
