import { describeSavedLives } from '@heki/hypervisor/conformance/vitest';
import { xenSetup } from '../testing/conformance-setup.ts';

const LIVES = 100 * Number(process.env.HEKI_RUNS ?? 1);

describeSavedLives('Xen', xenSetup(), LIVES);
describeSavedLives(
  'Xen with a monitor that skips',
  xenSetup({ memoryVerdict: 'skip', registerVerdict: 'skip' }),
  LIVES,
);
describeSavedLives(
  'Xen with a monitor that lets through once',
  xenSetup({ memoryVerdict: 'allow-once' }),
  LIVES,
);
