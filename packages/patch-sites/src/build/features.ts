/** Feature bits that decide more than alternatives, as Linux numbers them (asm/cpufeatures.h): word * 32 + bit. The same from 5.19 to 6.12. */
export const FEATURES = {
  RETPOLINE: 11 * 32 + 12,
  RETPOLINE_LFENCE: 11 * 32 + 13,
  RETHUNK: 11 * 32 + 14,
} as const;

export function has(capabilities: readonly number[], bit: number): boolean {
  return (((capabilities[Math.floor(bit / 32)] ?? 0) >>> (bit % 32)) & 1) === 1;
}
