import { readFileSync } from 'node:fs';
import type { MutantResult } from '@stryker-mutator/api/core';
import { rankOf } from './sample.ts';

export type Result = Pick<MutantResult, 'fileName' | 'location' | 'mutatorName' | 'status'> & {
  readonly replacement: string;
};

/** What came of a sample. */
export interface Figures {
  /** Mutants that there are, texts left out. */
  readonly all: number;
  readonly killed: number;
  /** Those that no test found, and no test even ran; first those of one file, then of the next. */
  readonly survivors: readonly Result[];
}

const KILLED: readonly string[] = ['Killed', 'Timeout', 'RuntimeError'];
const SURVIVED: readonly string[] = ['Survived', 'NoCoverage'];

/**
 * Of a run that a time limit ended, the results up to the last that came of running tests: what no test covers comes at once, and would
 * weigh too much beside them.
 */
export function figuresOf(results: readonly Result[], isComplete: boolean): Figures {
  const counted = results.filter(({ status }) => status !== 'Ignored');
  const ranked = counted.map((result) => ({ result, rank: rankOf({ id: '', ...result }) }));
  const last = ranked.reduce(
    (rank, one) =>
      (KILLED.includes(one.result.status) || one.result.status === 'Survived') && one.rank > rank
        ? one.rank
        : rank,
    '',
  );
  const sample = ranked.flatMap(({ result, rank }) => (isComplete || rank <= last ? [result] : []));
  return {
    all: counted.length,
    killed: sample.filter(({ status }) => KILLED.includes(status)).length,
    survivors: sample
      .filter(({ status }) => SURVIVED.includes(status))
      .sort((a, b) => a.fileName.localeCompare(b.fileName) || a.location.start.line - b.location.start.line),
  };
}

/** A survivor on lines of their own: where, what it was, and what nobody misses. */
export function survivorText({ fileName, location, mutatorName, replacement, status }: Result): string {
  const { start, end } = location;
  const lines = readFileSync(fileName, 'utf8')
    .split('\n')
    .slice(start.line - 1, end.line);
  const was = lines
    .map((line, i) =>
      line.slice(i === 0 ? start.column - 1 : 0, i === lines.length - 1 ? end.column - 1 : undefined),
    )
    .join(' ')
    .replace(/\s+/g, ' ');
  const short = (text: string) => (text.length > 100 ? `${text.slice(0, 100)}...` : text);
  const none = status === 'NoCoverage' ? ' (no test runs it)' : '';
  return `${fileName}:${start.line}:${start.column} ${mutatorName}${none}\n  - ${short(was)}\n  + ${short(replacement.replace(/\s+/g, ' '))}`;
}
