import { describeSavedLives } from '@heki/hypervisor/conformance/vitest';
import { hypervSetup } from '../testing/conformance-setup.ts';

const LIVES = 100 * Number(process.env.HEKI_RUNS ?? 1);

describeSavedLives('Hyper-V with MBEC', hypervSetup({}), LIVES);
describeSavedLives(
  'Hyper-V without MBEC, with an IOMMU',
  hypervSetup({ mbec: false, iommuPolicy: true }),
  LIVES,
);
