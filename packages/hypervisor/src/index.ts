export * from './capabilities.ts';
export {
  badState,
  checkProtectionState,
  checkStateBits,
  checkStateInteger,
  checkStateList,
  checkStateRanges,
  type StateLimits,
} from './check-state.ts';
export * from './denial.ts';
export { type CapabilityRow, describeCapabilities } from './describe-capabilities.ts';
export { describeHypervisorEvent } from './describe-event.ts';
export { HypervisorError } from './error.ts';
export * from './event.ts';
export { createGuestRegions, type GuestRegionPart, type GuestRegions } from './guest-regions.ts';
export * from './host.ts';
export {
  type AskedFrames,
  type AskedRights,
  createHostFrames,
  departedOf,
  type GuestFrames,
  type HostFrames,
  rightsUnderAllNames,
} from './host-frames.ts';
export * from './result.ts';
export * from './rights.ts';
export * from './state.ts';
export * from './virtual-machine.ts';
export { type StandingFault, VcpuWaits, waitForEntry, type YieldPoint } from './yield-point.ts';
