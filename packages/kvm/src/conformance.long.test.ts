import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { AMD_ZEN4 } from '@heki/x86';
import { kvmSetup } from './testing/conformance-setup.ts';

describeConformance('KVM on Intel without MBEC', kvmSetup({ mbec: false }));
describeConformance('KVM on AMD with GMET', kvmSetup({ processor: AMD_ZEN4 }));
describeConformance('KVM on AMD without GMET', kvmSetup({ processor: AMD_ZEN4, gmet: false }));
// What verification refuses beyond the rights that were asked for, mappings that nobody listed, the kit's guest has everywhere.
describeConformance('KVM with HLAT', kvmSetup({ hlat: { verification: false } }));
