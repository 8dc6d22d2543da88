export {
  type AddressSpace,
  type AddressSpaceOptions,
  createAddressSpace,
  entryBits,
} from './address-space/address-space.ts';
export type { EditResult, LeafBitChange, StaleRange } from './address-space/edit.ts';
export type { TableAllocator } from './address-space/tables.ts';
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
export * from './entries/entry.ts';
export * from './entries/page-rights.ts';
export { type ReservedBitRules, reservedBits } from './entries/reserved-bits.ts';
export { X86Error } from './error.ts';
export {
  DEFAULT_TABLE_BUDGET,
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
  type SharedTable,
} from './mappings/mapping-walk.ts';
export { mappings } from './mappings/mappings.ts';
export * from './mappings/presence-policy.ts';
export { walkMappings } from './mappings/walk-mappings.ts';
export {
  type DerivedProcessor,
  deriveProcessor,
  type ProcessorEvidence,
} from './processor/derive-processor.ts';
export {
  type BitBesideAddresses,
  findEncryptionBit,
  hasEncryptedEntry,
} from './processor/find-encryption-bit.ts';
export { surveyTables, type TableSurvey } from './processor/survey-tables.ts';
export type { TablesToSurvey } from './processor/table-entries.ts';
export * from './registers/control-registers.ts';
export * from './registers/cpu-profile.ts';
export * from './registers/cpu-profiles.ts';
export * from './registers/register-write.ts';
export * from './registers/registers.ts';
export { type UnmodelledSemantics, unmodelledSemantics } from './registers/unmodelled.ts';
export { type Access, AccessBits, type AccessKind, type AccessMode, accessBits } from './translate/access.ts';
export { createPageWalker } from './translate/create-page-walker.ts';
export * from './translate/page-fault.ts';
export { type PageWalker, type PageWalkerOptions, WalkOutcome } from './translate/page-walker.ts';
export { applyUpdates, translate } from './translate/translate.ts';
export * from './translate/translation.ts';
