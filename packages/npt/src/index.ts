export * from './editor.ts';
export { NptError } from './error.ts';
export * from './exit-info.ts';
export { explainNptWalk, type NptStep, type NptWalk } from './explain.ts';
export type { NptFault } from './fault.ts';
export * from './gmet.ts';
export { createNpt, type Npt } from './npt.ts';
export type { NptControls, NptSetup } from './setup.ts';
