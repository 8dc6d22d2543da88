/** Misuse of physical memory by the TypeScript caller: a wrong address, an overlapping range, a double free. */
export class PhysicalMemoryError extends Error {
  override readonly name = 'PhysicalMemoryError';
}

/** `value` as people write addresses: `0x1f000`; anything that is no safe integer as JavaScript prints it. */
export function hex(value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return String(value);
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
