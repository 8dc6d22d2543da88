import { test } from 'node:test';
import { conformanceCases } from '@heki/hypervisor/conformance';
import { mineSetup } from './conformance-setup.mjs';

for (const gmet of [true, false]) {
  for (const { area, name, run } of conformanceCases(mineSetup(gmet))) {
    test(`${gmet ? 'with' : 'without'} GMET: ${area}: ${name}`, run);
  }
}
