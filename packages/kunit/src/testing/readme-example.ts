import { runKunit } from '@heki/kunit';
import { createKvm } from '@heki/kvm';
import { pcMemoryMap } from '@heki/machine';

// The series as published: each test boots a kernel of its own on a KVM with Heki.
const profile = 'rfc-v2';
const lines = runKunit({
  machine: { hypervisor: createKvm({ profile }), profile, memoryMap: pcMemoryMap(128 * 2 ** 20) },
  suites: ['heki', 'heki_v3'],
});
for (const line of lines) console.log(line);
