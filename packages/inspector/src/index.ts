export {
  encodeMemory,
  type GrantRun,
  type MemoryData,
  type MemoryRun,
  memoryRun,
  type PageName,
  type Place,
} from './memory/memory-data.ts';
export type {
  Answer,
  EntryBit,
  InspectorFailure,
  InspectorModel,
  OpenedDump,
  PageBytes,
  ServedSource,
  WalkAnswer,
  WalkQuery,
  WalkRegister,
  WalkStepView,
} from './model/inspector-model.ts';
export type {
  AuditPage,
  PageAlias,
  PageFact,
  PageFinding,
  PageHypervisor,
  PageSeverity,
} from './report/audit-page.ts';
export { fillPage } from './report/fill-page.ts';
