/** How a file of zstd begins, in Latin-1: with a frame, or with a skippable one, as pzstd writes it (RFC 8878, sections 3.1.1 and 3.1.2). */
export const ZSTD_MAGICS: readonly string[] = [
  '\x28\xb5\x2f\xfd',
  ...Array.from({ length: 16 }, (_, number) => `${String.fromCharCode(0x50 + number)}\x2a\x4d\x18`),
];
