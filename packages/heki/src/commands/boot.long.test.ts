import { test } from 'vitest';
import { expectBeside } from '../testing/expect-beside.ts';

test('heki backends sets every hypervisor beside the others', () =>
  expectBeside([], ['kvm', 'kvm-vmm', 'kvm-vtl', 'kvm-planes', 'hyperv', 'hyperv-lvbs', 'xen']));
