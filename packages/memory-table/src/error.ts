import { HekiError } from '@heki/physical-memory';

/** Misuse of a memory table by the TypeScript caller: frames that are not a range, or above what the table covers. */
export class MemoryTableError extends HekiError {
  override readonly name = 'MemoryTableError';
}
