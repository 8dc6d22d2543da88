import { conformanceCases } from '@heki/hypervisor/conformance';
import { expect, test } from 'vitest';
import { mineSetup } from './conformance-setup.mjs';

test('the kit finds a backend that does not flush virtual CPUs', () => {
  const setup = mineSetup(true);
  const { hypervisor } = setup;
  const forgetful: typeof hypervisor = {
    ...hypervisor,
    createVirtualMachine(options) {
      const machine = hypervisor.createVirtualMachine(options);
      return Object.assign(machine, { flush: () => {} });
    },
  };
  const failures = conformanceCases({ ...setup, hypervisor: forgetful }).flatMap(({ area, run }) => {
    try {
      run();
      return [];
    } catch (error) {
      return [`${area}: ${String(error)}`];
    }
  });
  expect(failures.join('\n')).toMatch(/^virtual CPUs: .* on virtual CPU \d can do/m);
});
