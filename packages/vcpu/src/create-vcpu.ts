import { VcpuError } from './error.ts';
import type { Vcpu, VcpuOptions } from './vcpu.ts';

/**
 * Creates a virtual CPU in the state after INIT, with `options.registers` on top.
 *
 * @throws {VcpuError} when an option is out of range
 */
export function createVcpu(options: VcpuOptions): Vcpu {
  throw new VcpuError(`virtual CPU ${options.id} cannot be created yet`);
}
