/** Misuse of a memory table by the TypeScript caller: frames that are no range, or above what the table covers. */
export class MemoryTableError extends Error {
  override readonly name = 'MemoryTableError';
}
