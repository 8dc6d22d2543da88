import { HekiError } from './heki-error.ts';

/** Misuse of physical memory by the TypeScript caller: a wrong address, an overlapping range, a double free. */
export class PhysicalMemoryError extends HekiError {
  override readonly name = 'PhysicalMemoryError';
}
