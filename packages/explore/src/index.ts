export { type AbstractAction, abstractMachine } from './abstract/abstract-machine.ts';
export { ABSTRACT_POLICIES, type AbstractPolicy } from './abstract/policy.ts';
export { authorityMachine } from './authority/authority-machine.ts';
export type { BackendAction } from './backend/actions.ts';
export { type BackendMachineOptions, type BackendState, backendMachine } from './backend/backend-machine.ts';
export type { ExploredBackend } from './backend/tiny-guest.ts';
export { type InterleavedOptions, interleavedMachine } from './interleaved/interleaved-machine.ts';
export type { Machine, Property } from './machine.ts';
export { type Bounds, type Counterexample, type Progress, type SearchResult, search } from './search.ts';
