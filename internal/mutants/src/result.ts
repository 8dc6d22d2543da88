import { readFileSync } from 'node:fs';
import type { MutantResult } from '@stryker-mutator/api/core';
import { rankOfReported } from './sample.ts';

export type Result = Pick<
  MutantResult,
  'fileName' | 'location' | 'mutatorName' | 'status' | 'statusReason'
> & {
  readonly replacement: string;
};

/** The outcome of a sample. */
export interface Figures {
  /** Mutants that there are, texts left out. */
  readonly all: number;
  readonly killed: number;
  /** Those whose tests ran out of time. A machine that others load does that, too: they count neither as killed nor as survivors. */
  readonly timedOut: readonly Result[];
  /** Those that no test found, and no test even ran; first those of one file, then of the next. */
  readonly survivors: readonly Result[];
}

const SURVIVED: readonly string[] = ['Survived', 'NoCoverage'];

/** A mutant that is reached a hundred times as often as it was without it loops: that is counted, and hangs on no clock. */
function isLoop({ status, statusReason }: Result): boolean {
  return status === 'Timeout' && statusReason?.startsWith('Hit limit reached') === true;
}

function isKilled(result: Result): boolean {
  return result.status === 'Killed' || result.status === 'RuntimeError' || isLoop(result);
}

function isTimedOut(result: Result): boolean {
  return result.status === 'Timeout' && !isLoop(result);
}

function byPlace(a: Result, b: Result): number {
  return a.fileName.localeCompare(b.fileName) || a.location.start.line - b.location.start.line;
}

/**
 * Of a run that a time limit ended, the results up to the last that came of running tests: what no test covers comes at once, and would
 * weigh too much beside them.
 */
export function figuresOf(results: readonly Result[], all: number, isComplete: boolean): Figures {
  const ranked = results
    .filter(({ status }) => status !== 'Ignored' && status !== 'CompileError')
    .map((result) => ({ result, rank: rankOfReported(result) }));
  const last = ranked.reduce(
    (rank, one) => (one.result.status !== 'NoCoverage' && one.rank > rank ? one.rank : rank),
    '',
  );
  const sample = ranked.flatMap(({ result, rank }) => (isComplete || rank <= last ? [result] : []));
  return {
    all,
    killed: sample.filter(isKilled).length,
    timedOut: sample.filter(isTimedOut).sort(byPlace),
    survivors: sample.filter(({ status }) => SURVIVED.includes(status)).sort(byPlace),
  };
}

/** A mutant on lines of their own: where, what it was, and what it became. */
export function mutantText({ fileName, location, mutatorName, replacement, status }: Result): string {
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
  const note =
    status === 'NoCoverage' ? ' (no test runs it)' : status === 'Timeout' ? ' (ran out of time)' : '';
  return `${fileName}:${start.line}:${start.column} ${mutatorName}${note}\n  - ${short(was)}\n  + ${short(replacement.replace(/\s+/g, ' '))}`;
}
