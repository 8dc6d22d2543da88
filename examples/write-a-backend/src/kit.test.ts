import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { mineSetup } from './conformance-setup.mjs';

describeConformance('mine, with GMET', mineSetup(true));
describeConformance('mine, without GMET', mineSetup(false));
