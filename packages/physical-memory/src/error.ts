/** Misuse of physical memory by the TypeScript caller: a wrong address, an overlapping range, a double free. */
export class PhysicalMemoryError extends Error {
  override readonly name = 'PhysicalMemoryError';
}
