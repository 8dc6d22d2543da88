import { readFileSync } from 'node:fs';
import type { KvmEvent, KvmVirtualMachine } from '@heki/kvm';
import type { MachineOptions } from '@heki/machine';
import { type ProvenRoot, pagingRegistersOf, parseMemoryMap, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';

/** What a machine needs of a real kernel: one of `fixtures/`, by its name without `.elf.gz`. */
export function openFixture(
  name: string,
): Omit<MachineOptions<KvmVirtualMachine, KvmEvent>, 'hypervisor'> & { readonly kernel: ProvenRoot } {
  const core = openVmcore(`fixtures/${name}.elf.gz`);
  return {
    memoryMap: parseMemoryMap(readFileSync(`fixtures/${name}.json`, 'utf8')),
    registers: pagingRegistersOf(core),
    kernel: resolveKernelRoot(core),
  };
}
