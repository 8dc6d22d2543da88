import {
  isMemorySize,
  type MachineSpecification,
  MEMORY_SIZE,
  SECURE_KERNELS,
  type SecureKernel,
} from '@heki/machine';
import { cpuNamed } from './assumed-processor.ts';
import { UsageError } from './failure.ts';
import { checkHypervisor } from './hypervisors.ts';
import { fieldsOfFlags, type MachineFlags } from './machine-flags.ts';

/** The machine that a command's options ask for. @throws {UsageError} for an unknown name, or an amount out of range */
export function specificationOf(flags: MachineFlags): MachineSpecification {
  const fields = fieldsOfFlags(flags);
  if (fields.hypervisor !== undefined) checkHypervisor(fields.hypervisor);
  if (fields.memory !== undefined) checkMemory(fields.memory);
  return {
    ...fields,
    secureKernel: secureKernelNamed(flags.secureKernel),
    cpu: flags.cpu === undefined ? undefined : cpuNamed(flags.cpu).name,
  };
}

function checkMemory(memory: string): void {
  if (!isMemorySize(memory)) throw new UsageError(`--memory ${memory}: expected ${MEMORY_SIZE}`);
}

function secureKernelNamed(name: string | undefined): SecureKernel | undefined {
  const known = SECURE_KERNELS.find((one) => one === name);
  if (name !== undefined && known === undefined)
    throw new UsageError(`--secure-kernel ${name}: expected one of ${SECURE_KERNELS.join(', ')}`);
  return known;
}
