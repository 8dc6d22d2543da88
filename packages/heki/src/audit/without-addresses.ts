/** `text` without its addresses, for a redacted report. */
export function withoutAddresses(text: string): string {
  return text.replace(/0x[0-9a-f]+/gi, '0x...');
}
