export { type AbstractAction, abstractMachine } from './abstract/abstract-machine.ts';
export { ABSTRACT_POLICIES, type AbstractPolicy } from './abstract/policy.ts';
export { authorityMachine, ownedBackendMachine } from './authority/authority-machine.ts';
export { TINY_CODE } from './authority/tiny-images.ts';
export { type BackendMachineOptions, type BackendState, backendMachine } from './backend/backend-machine.ts';
export type { BackendAction } from './backend/scene.ts';
export type { ExploredBackend } from './backend/tiny-guest.ts';
export { createExpander, type Expander, type Expansion, type Reached } from './expand.ts';
export { type GuestState, guestMachine } from './guest/guest-machine.ts';
export { type HlatState, hlatMachine } from './hlat/hlat-machine.ts';
export { type InterleavedOptions, interleavedMachine } from './interleaved/interleaved-machine.ts';
export { type LvbsHypervisor, lvbsMachine } from './lvbs/lvbs-machine.ts';
export type { Machine, Property } from './machine.ts';
export { type Replayed, replay } from './replay.ts';
export {
  type OtherProcessors,
  type ScheduledHypervisor,
  type ScheduledKernel,
  scheduledKernel,
} from './schedules/scheduled-kernel.ts';
export { search } from './search.ts';
export type { SavedSearch } from './search-record.ts';
export type { Bounds, Counterexample, Progress, SearchResult } from './search-result.ts';
export { searchTogether, type TogetherOptions } from './search-together.ts';
