export { HekiCommand } from './command.ts';
export { createHekiGuest } from './create-heki-guest.ts';
export { type GuestDefectId, type GuestDefectSwitches, guestDefects } from './defects/guest-defects.ts';
export { GuestError } from './error.ts';
export type { GuestEvent } from './event.ts';
export type {
  AttributeChange,
  EarlyInitResult,
  HekiGuest,
  LateInitResult,
  MappingChange,
  NamedLeaf,
  PermissionCounters,
} from './heki-guest.ts';
export type { HekiGuestOptions } from './heki-guest-options.ts';
export type { HekiCodeAuthority, HekiCodePart, HekiSiteState } from './hypervisor/heki-code-authority.ts';
export type {
  HekiHypervisor,
  HekiSection,
  HekiSectionKind,
  HekiSecureKernel,
  HekiTextPatch,
} from './hypervisor/heki-hypervisor.ts';
export { type BootParameters, parseBootParameters } from './kernel/boot-parameters.ts';
export type {
  HekiKernel,
  HekiOperation,
  HekiVariables,
  KernelConfig,
  KernelPage,
  VirtualRange,
} from './kernel/kernel.ts';
export {
  leafPermissions,
  type PermissionChange,
  type ProtectionBits,
  permissionChange,
} from './permission.ts';
export { type KernelLayout, PUBLISHED_LAYOUT } from './walk/address-space.ts';
