/** `value` as people write addresses and frames: `0x1f000`, `-0x1`; a number that is not a safe integer as JavaScript prints it. */
export function hex(value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return String(value);
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
