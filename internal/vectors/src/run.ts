import { basename, join } from 'node:path';
import { findFiles, isCompanion } from './find.ts';
import type { VectorKind, VectorResult } from './kind.ts';

/** Totals over all files of one run. */
export interface RunTotals {
  passed: number;
  failed: number;
  /** Files of a kind that has no runner. */
  notRun: number;
}

/** Runs every vector file under `directory` and prints a line for each, with the first differences below it. */
export function runVectors(
  directory: string,
  kinds: readonly VectorKind[],
  print: (line: string) => void,
): RunTotals {
  const totals: RunTotals = { passed: 0, failed: 0, notRun: 0 };
  const files = findFiles(directory);
  const all = new Set(files);
  for (const file of files) {
    // The searched folder's own name counts, so that `vectors/paging` can be given as well as `vectors`.
    const named = `${basename(directory)}/${file}`;
    const kind = kinds.find(({ matches }) => matches(file) || matches(named));
    if (kind === undefined) {
      if (isCompanion(file, all)) continue;
      totals.notRun++;
      print(`${file}: not run`);
      continue;
    }
    const { passed, failed, differences } = runFile(kind, join(directory, file));
    totals.passed += passed;
    totals.failed += failed;
    print(`${file}: ${passed} passed, ${failed} failed`);
    for (const difference of differences) print(indent(difference));
  }
  return totals;
}

function runFile(kind: VectorKind, path: string): VectorResult {
  try {
    const result = kind.run(path);
    if (result.passed + result.failed > 0) return result;
    return { passed: 0, failed: 1, differences: ['the file holds no cases'] };
  } catch (error) {
    return { passed: 0, failed: 1, differences: [`cannot be read as vectors of its kind: ${reason(error)}`] };
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'Error' ? error.message : `${error.name}: ${error.message}`;
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
