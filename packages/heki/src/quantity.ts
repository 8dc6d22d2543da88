/** `12,345`. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

/** `3 ranges`, `1 range`. */
export function count(value: number, one: string, many: string = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}
