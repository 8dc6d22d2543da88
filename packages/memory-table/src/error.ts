/** Misuse of a memory table by the TypeScript caller: frames that are no range, or above what the table covers. */
export class MemoryTableError extends Error {
  override readonly name = 'MemoryTableError';
}

/** `value` as people write frame numbers: `0x1f000`; anything that is no safe integer as JavaScript prints it. */
export function hex(value: number): string {
  return Number.isSafeInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
}
