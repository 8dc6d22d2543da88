/** How often a fuzz test runs: `few` times, and 10,000 times in `npm run test:full`. */
export function fuzzRuns(few: number): number {
  return process.env.HEKI_FUZZ === 'long' ? Math.max(few, 10_000) : few;
}
