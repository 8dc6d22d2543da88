/** Feature bits that decide more than alternatives, as Linux numbers them (asm/cpufeatures.h): word * 32 + bit. The same from 5.19 to 6.12. */
export const FEATURES = {
  RETPOLINE: 11 * 32 + 12,
  RETPOLINE_LFENCE: 11 * 32 + 13,
  RETHUNK: 11 * 32 + 14,
  CALL_DEPTH: 11 * 32 + 19,
} as const;

/** X86_FEATURE_LA57: clear where the kernel runs with 4 levels, whatever the processor could. */
export const LA57 = 16 * 32 + 16;

/** The words that are CPUID's own (enum cpuid_leafs); the others have bits that Linux invents, and bugs. */
export const HARDWARE_WORDS: ReadonlySet<number> = new Set([
  0, 1, 4, 6, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20,
]);

/** Whether a bit is set in words of 32. */
export function has(capabilities: readonly number[], bit: number): boolean {
  return (((capabilities[Math.floor(bit / 32)] ?? 0) >>> (bit % 32)) & 1) === 1;
}
