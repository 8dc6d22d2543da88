export type { KernelWork, WorkOutcome } from './kernel-work.ts';
export type { OpenWay } from './open-ways.ts';
export { type LeafCounts, type SecondLevelLeaves, secondLevelLeaves } from './second-level-leaves.ts';
export {
  type GrantedRange,
  type SentRange,
  type UnderHeki,
  type UnderHekiOptions,
  underHeki,
} from './under-heki.ts';
