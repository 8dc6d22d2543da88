import { conformanceCases } from '@heki/hypervisor/conformance';
import { expect, test } from 'vitest';
import { myHypervisor } from './my-hypervisor.ts';

test('the kit finds a backend that does not flush virtual CPUs', () => {
  const forgetful: typeof myHypervisor = {
    ...myHypervisor,
    createVirtualMachine(options) {
      const machine = myHypervisor.createVirtualMachine(options);
      const { createVcpu } = machine;
      return Object.assign(machine, {
        createVcpu: (setup: Parameters<typeof createVcpu>[0]) =>
          Object.defineProperty(createVcpu(setup), 'invept', { value: () => {} }),
      });
    },
  };
  const failures = conformanceCases({ hypervisor: forgetful }).flatMap(({ area, run }) => {
    try {
      run();
      return [];
    } catch (error) {
      return [`${area}: ${String(error)}`];
    }
  });
  expect(failures.join('\n')).toMatch(/^virtual CPUs: .* on virtual CPU \d can do/m);
});
