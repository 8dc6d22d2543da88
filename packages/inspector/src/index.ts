export {
  encodeMemory,
  type GrantRun,
  type MemoryData,
  type MemoryRun,
  memoryRun,
  type PageName,
  type Place,
} from './memory/memory-data.ts';
export type { LeafKind, VirtualSide, VirtualStretch } from './memory/virtual-side.ts';
export type {
  Answer,
  AttackStory,
  Choice,
  Choices,
  EntryBit,
  Exploration,
  FrameCard,
  InspectorFailure,
  InspectorModel,
  LifeQuery,
  Moment,
  MomentQuery,
  OpenedDump,
  PageBytes,
  SecondLevelStepView,
  SecondLevelView,
  ServedSource,
  Timeline,
  TimelineEvent,
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
