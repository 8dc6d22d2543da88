export { checkpointTable, digestTable } from './checkpoint.ts';
export { createMemoryTable, type MemoryTableOptions } from './create-memory-table.ts';
export { type MemoryTableDefectId, memoryTableDefects } from './defects/memory-table-defects.ts';
export { MemoryTableError } from './error.ts';
export {
  type GeometryOptions,
  type MemoryTableGeometry,
  type MemoryTableLevel,
  memoryTableGeometry,
} from './geometry.ts';
export type {
  AscendingRanges,
  Entry,
  Extent,
  MemoryTable,
  MemoryTableStatistics,
  Test,
  Transform,
  TransformOf,
  Visit,
} from './memory-table.ts';
