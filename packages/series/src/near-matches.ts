/** A name that differs in more places is another name, not a slip. */
const MOST_SLIPS = 2;

/** What of `known` is written like `name`, nearest first: for an error that has to say what was meant. At most five. */
export function nearMatches(name: string, known: Iterable<string>): string[] {
  return [...known]
    .map((candidate) => ({ candidate, slips: slips(name.toUpperCase(), candidate.toUpperCase()) }))
    .filter((one) => one.slips <= MOST_SLIPS)
    .sort((a, b) => a.slips - b.slips)
    .slice(0, 5)
    .map(({ candidate }) => candidate);
}

/** Letters to insert, delete or replace between the two (Levenshtein). */
function slips(one: string, other: string): number {
  // No name is so long; a hostile one must not cost more than it.
  if (Math.abs(one.length - other.length) > MOST_SLIPS) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= other.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (letter === other[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
