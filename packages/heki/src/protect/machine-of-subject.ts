import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import { type MachineOptions, type MachineSpecification, machineSettings } from '@heki/machine';
import type { Backend } from '../backend.ts';
import { hypervisorOf } from '../specification.ts';
import type { Subject } from './subject.ts';

/** All of a machine but the kernel in it. */
type MachineOfSubject = Omit<MachineOptions<VirtualMachine, BackendEvent>, 'kernel'>;

/**
 * The machine that `specification` names, as far as the snapshot leaves it open, with the processor and the memory of the subject.
 *
 * @param backend the hypervisor that it names
 */
export function machineOfSubject(
  backend: Backend,
  specification: MachineSpecification,
  { processor, memoryMap, crashKernel }: Pick<Subject, 'processor' | 'memoryMap' | 'crashKernel'>,
): MachineOfSubject {
  const { profile, defects, spuriousFaults } = machineSettings(specification);
  return {
    hypervisor: hypervisorOf(backend, specification, {}, processor.cpu),
    driver: (guest, options) => backend.driver?.(guest, options) ?? false,
    memoryMap,
    crashKernel,
    registers: processor.registers,
    profile,
    defects,
    spuriousFaults,
  };
}
