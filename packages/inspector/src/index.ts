export {
  encodeMemory,
  type GrantRun,
  type MemoryData,
  type MemoryRun,
  memoryRun,
  type Place,
} from './memory/memory-data.ts';
export type {
  AuditPage,
  PageAlias,
  PageFact,
  PageFinding,
  PageHypervisor,
  PageSeverity,
} from './report/audit-page.ts';
export { fillPage } from './report/fill-page.ts';
