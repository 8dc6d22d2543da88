/** The most that a scenario asks for: files that include each other can ask for more than anybody waits for. */
export const SCENARIO_LIMITS = {
  /** Steps, and expectations of rights, with all that it includes. */
  steps: 10_000,
  /** Inclusions of files, each counted as often as it is reached. */
  inclusions: 1000,
  /** Files that include each other, one in the other. */
  nesting: 32,
  /** Characters of text, with all that it includes. */
  characters: 16 * 2 ** 20,
} as const;
