import { VcpuError } from './error.ts';
import type { Vcpu, VcpuOptions } from './vcpu.ts';
import { VirtualCpu } from './virtual-cpu.ts';

/**
 * Creates a virtual CPU in the state after INIT, with `options.registers` on top.
 *
 * @throws {VcpuError} when the id is not an integer from 0
 */
export function createVcpu(options: VcpuOptions): Vcpu {
  if (!Number.isInteger(options.id) || options.id < 0) {
    throw new VcpuError(`id ${options.id} of a virtual CPU: expected an integer from 0`);
  }
  return new VirtualCpu(options);
}
