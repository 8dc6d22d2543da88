/** `12,345`. Of whole numbers without Intl, whose first formatter takes as long as an audit of page tables. */
export function number(value: number): string {
  if (!Number.isInteger(value)) return value.toLocaleString('en-US');
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `3 ranges`, `1 range`. */
export function count(value: number, one: string, many: string = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** `512 bytes`, `4 KiB`, `1.5 GiB`. */
export function bytesText(bytes: number): string {
  const kib = bytes / 1024;
  if (kib < 1) return count(bytes, 'byte');
  if (kib < 1024) return `${Number.isInteger(kib) ? kib : kib.toFixed(1)} KiB`;
  if (kib < 1024 * 1024) return `${(kib / 1024).toFixed(1)} MiB`;
  return `${(kib / 1024 / 1024).toFixed(1)} GiB`;
}
