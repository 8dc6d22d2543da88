import { isMemorySize, MEMORY_SIZE } from '@heki/machine';
import { UsageError } from './failure.ts';

/** The value of `--memory`. @throws {UsageError} when it is not an amount that a machine can have */
export function memoryOption(memory: string): string {
  if (!isMemorySize(memory)) throw new UsageError(`--memory ${memory}: expected ${MEMORY_SIZE}`);
  return memory;
}
