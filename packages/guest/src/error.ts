/** Misuse of the guest core by the TypeScript caller: a range that ends before it starts, an impossible option. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
}

/** `value` as people write addresses and frames: `0x1f000`; anything that is no safe integer as JavaScript prints it. */
export function hex(value: number): string {
  return Number.isSafeInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
}
