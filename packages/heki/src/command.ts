/** All that `main.ts` loads, and where the bundle starts. */
export { processOutput } from './io.ts';
export { run } from './run.ts';
