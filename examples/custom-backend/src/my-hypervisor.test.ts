import { describeConformance } from '@heki/hypervisor/conformance';
import { myHypervisor } from './my-hypervisor.ts';

describeConformance('mine', { hypervisor: myHypervisor });
