import type { KvmEvent, KvmVirtualMachine } from '@heki/kvm';
import type { MachineOptions } from '@heki/machine';
import type { Gfn } from '@heki/physical-memory';
import { kernelRootOf, openVmcore, pagingRegistersOf, readMemoryMap } from '@heki/vmcore';

/** What a machine needs of a real kernel: one of `fixtures/`, by its name without `.elf.gz`. */
export function openFixture(
  name: string,
): Omit<MachineOptions<KvmVirtualMachine, KvmEvent>, 'hypervisor'> & { readonly kernelRoot: Gfn } {
  const core = openVmcore(`fixtures/${name}.elf.gz`);
  return {
    memory: core.memory,
    memoryMap: readMemoryMap(`fixtures/${name}.json`),
    registers: pagingRegistersOf(core),
    kernelRoot: kernelRootOf(core),
  };
}
