/** All that `main.ts` loads, and where the bundle starts. */
export { processOutput } from './io.ts';
export { run } from './run.ts';
export { mayRunModules } from './thread/may-run-modules.ts';
export { runAsThread } from './thread/run-as-thread.ts';
export { runInThread } from './thread/run-in-thread.ts';
