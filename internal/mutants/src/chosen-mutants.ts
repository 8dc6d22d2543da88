import { readFileSync } from 'node:fs';
import { Instrumenter } from '@stryker-mutator/instrumenter';
import { errorTexts } from './plugins.ts';
import { sampleOf } from './sample.ts';

/** Kinds of mutants that are not asked about. */
export const EXCLUDED_MUTATIONS: readonly string[] = ['StringLiteral'];

const silent = (): void => {};
const LOGGER = {
  isTraceEnabled: () => false,
  isDebugEnabled: () => false,
  isInfoEnabled: () => false,
  isWarnEnabled: () => false,
  isErrorEnabled: () => false,
  isFatalEnabled: () => false,
  trace: silent,
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  fatal: silent,
};

/**
 * How many mutants there are of `files`, paths from the working directory, and where those of the sample are, as what Stryker is to
 * mutate: `FILE:LINE:COLUMN-LINE:COLUMN`, lines from 1 and columns from 0. Within a range lie others, which are left out later.
 */
export async function chosenMutants(
  files: readonly string[],
  size: number,
): Promise<{ readonly all: number; readonly ranges: string[] }> {
  const { mutants } = await new Instrumenter(LOGGER).instrument(
    files.map((name) => ({ name, content: readFileSync(name, 'utf8'), mutate: true })),
    { plugins: null, ignorers: [errorTexts], excludedMutations: [...EXCLUDED_MUTATIONS] },
  );
  const counted = mutants.filter(({ status }) => status !== 'Ignored');
  const ranges = sampleOf(counted, size).map(({ fileName, location: { start, end } }) => {
    return `${fileName}:${start.line + 1}:${start.column}-${end.line + 1}:${end.column}`;
  });
  return { all: counted.length, ranges };
}
