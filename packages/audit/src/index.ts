export { type Audit, auditKernel } from './audit-kernel.ts';
export {
  type AuditedKernel,
  type AuditSubject,
  type CpuRegisters,
  type ListedCode,
  readKernel,
} from './audited-kernel.ts';
export {
  compareKernels,
  type Difference,
  type FrameChange,
  type ImageChange,
  isSame,
  type RegionChange,
} from './difference/compare-kernels.ts';
export { type SealedChange, sealedChanges } from './difference/sealed-changes.ts';
export { AuditError } from './error.ts';
export {
  type Alias,
  type Finding,
  type FindingKind,
  isAtLeast,
  type Occurrence,
  SEVERITIES,
  type Severity,
} from './finding.ts';
export { FINDING_KINDS } from './findings/index.ts';
export { type FrameExtent, frameExtents } from './frame-extents.ts';
export { hypercallPageOf } from './hypercall-page.ts';
export type { Mapping, PlaceName } from './mapping.ts';
export { leafRights } from './occurrence.ts';
export { Rights, rightsOf, rightsText } from './rights.ts';
