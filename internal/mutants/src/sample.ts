import { createHash } from 'node:crypto';
import type { Mutant } from '@stryker-mutator/api/core';

/** What a rank is made of. */
type Ranked = Pick<Mutant, 'fileName' | 'location' | 'mutatorName' | 'replacement'>;

/** Changed, it gives other samples; all figures in `docs/mutants.md` are of this one. */
const SEED = 'heki';

/**
 * The mutant's place in a random order that is the same on every machine. A sample is the first N of it, and so is what a time
 * limit leaves of a sample.
 */
function rankOf({ fileName, location, mutatorName, replacement }: Ranked): string {
  const file = fileName.slice(fileName.lastIndexOf('packages/'));
  const { start, end } = location;
  return createHash('sha256')
    .update([SEED, file, start.line, start.column, end.line, end.column, mutatorName, replacement].join('\0'))
    .digest('hex');
}

/** The rank of a mutant as reports place it: there lines and columns begin with 1, within Stryker with 0. */
export function rankOfReported({
  fileName,
  location: { start, end },
  mutatorName,
  replacement,
}: Ranked): string {
  const location = {
    start: { line: start.line - 1, column: start.column - 1 },
    end: { line: end.line - 1, column: end.column - 1 },
  };
  return rankOf({ fileName, location, mutatorName, replacement });
}

/** Those of `mutants` that are first in the order, first ones first. */
export function sampleOf<M extends Mutant>(mutants: readonly M[], size: number): M[] {
  return mutants
    .map((mutant) => ({ mutant, rank: rankOf(mutant) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, size)
    .map(({ mutant }) => mutant);
}
