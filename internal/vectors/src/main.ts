import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { kinds } from './kinds.ts';
import { runVectors } from './run.ts';

/** Runs the vectors under the folder that the command line names; the exit code. */
function main(args: readonly string[]): number {
  const [argument, ...more] = args;
  if (argument === undefined || more.length > 0 || argument.startsWith('-')) {
    console.error('usage: pnpm vectors DIR\nRuns every vector file of a known kind under DIR.');
    return 2;
  }
  const directory = resolve(argument);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    console.error(`pnpm vectors: ${directory} is not a folder: expected one with vectors in it`);
    return 2;
  }
  const { passed, failed, notRun } = runVectors(directory, kinds, (line) => console.log(line));
  if (passed + failed + notRun === 0) console.error(`pnpm vectors: no vectors under ${directory}`);
  console.log(`${passed} passed, ${failed} failed`);
  return passed > 0 && failed === 0 && notRun === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
