import { conformanceCases } from '@heki/hypervisor/conformance';
import { describe, test } from 'vitest';
import { kvmSetup } from '../testing/conformance-setup.ts';

/** Those that take long are among `../conformance.long.test.ts`. */
const AREAS = ['declaration', 'immutability', 'denials', 'pins', 'other writers', 'host frames'] as const;

describe('KVM with HLAT keeps the contract', () => {
  const setup = kvmSetup({ hlat: { verification: false } });
  for (const { area, name, run } of conformanceCases(setup)) {
    if (AREAS.some((one) => one === area)) test(`${area}: ${name}`, run);
  }
});
