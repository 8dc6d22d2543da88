/** Misuse of this package by the TypeScript caller: a register state it does not model, a range that is none. */
export class X86Error extends Error {
  override readonly name = 'X86Error';
}

/** `value` in hexadecimal as people write addresses; anything that is no safe integer as JavaScript prints it. */
export function hex(value: number | bigint): string {
  if (typeof value === 'number' && !(Number.isSafeInteger(value) && value >= 0)) return String(value);
  return `0x${value.toString(16)}`;
}
