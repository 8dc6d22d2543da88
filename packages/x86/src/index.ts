export { type Access, AccessBits, type AccessKind, type AccessMode, accessBits } from './access.ts';
export {
  type AddressSpace,
  type AddressSpaceOptions,
  createAddressSpace,
  type EditResult,
  entryBits,
  type LeafBitChange,
  type StaleRange,
  type TableAllocator,
} from './address-space.ts';
export {
  type BitMasks,
  type BitRow,
  type BitTable,
  bitMasks,
  bitNames,
  bitTableMarkdown,
  describeBits,
  type WordMasks,
  wordMasks,
} from './bit-table.ts';
export * from './canonical.ts';
export * from './control-registers.ts';
export * from './cpu-profile.ts';
export { createPageWalker } from './create-page-walker.ts';
export * from './entry.ts';
export { X86Error } from './error.ts';
export {
  DEFAULT_TABLE_BUDGET,
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
  type SharedTable,
} from './mapping-walk.ts';
export { mappings } from './mappings.ts';
export * from './page-fault.ts';
export * from './page-rights.ts';
export { type PageWalker, type PageWalkerOptions, WalkOutcome } from './page-walker.ts';
export * from './presence-policy.ts';
export * from './register-write.ts';
export * from './registers.ts';
export { type ReservedBitRules, reservedBits } from './reserved-bits.ts';
export { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from './second-level.ts';
export {
  createSecondLevelEditor,
  type LeafChange,
  type SecondLevelEdit,
  type SecondLevelEditor,
  type SecondLevelLeaf,
} from './second-level-editor.ts';
export { SecondLevelEditorError, type SecondLevelFormat, type TableFrames } from './second-level-format.ts';
export { applyUpdates, translate } from './translate.ts';
export * from './translation.ts';
export { walkMappings } from './walk-mappings.ts';
