import { HekiError } from '@heki/physical-memory';

/** Misuse of a virtual CPU by the TypeScript caller: an address, a size or a register that does not exist. */
export class VcpuError extends HekiError {
  override readonly name = 'VcpuError';
}
