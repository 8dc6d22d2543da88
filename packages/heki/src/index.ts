export type { CommandIo, Output } from './io.ts';
export { LIMITS, type Limit } from './limits/limits.ts';
export { run } from './run.ts';
