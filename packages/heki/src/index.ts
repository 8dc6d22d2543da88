export type { CommandIo, Output } from './io.ts';
export { run } from './run.ts';
