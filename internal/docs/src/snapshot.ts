import type { KvmEvent, KvmVirtualMachine } from '@heki/kvm';
import type { MachineOptions } from '@heki/machine';
import {
  openVmcore,
  type ProvenRoot,
  pagingRegistersOf,
  readMemoryMap,
  resolveKernelRoot,
} from '@heki/vmcore';

/** What a machine needs of a real kernel: one of `fixtures/`, by its name without `.elf.gz`. */
export function openFixture(
  name: string,
): Omit<MachineOptions<KvmVirtualMachine, KvmEvent>, 'hypervisor'> & { readonly kernel: ProvenRoot } {
  const core = openVmcore(`fixtures/${name}.elf.gz`);
  return {
    memoryMap: readMemoryMap(`fixtures/${name}.json`),
    registers: pagingRegistersOf(core),
    kernel: resolveKernelRoot(core),
  };
}
