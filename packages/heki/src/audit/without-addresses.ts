/** `text` without its addresses, for a redacted report. */
export function withoutAddresses(text: string): string {
  return text.replace(/0x[0-9a-f]+/gi, '0x...');
}

/** `fingerprint` without the bytes of the guest's that it has: an absolute address among them tells where KASLR put the kernel. */
export function withoutValues(fingerprint: string): string {
  return fingerprint.replace(/ (?:sha256:)?[0-9a-f]{2,}(?=,|$)/g, ' ...');
}
