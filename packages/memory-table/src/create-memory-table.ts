import type { FrameNumber, Gfn } from '@heki/physical-memory';
import type { MemoryTableDefectId } from './defects.ts';
import { MemoryTableError } from './error.ts';
import type { MemoryTableGeometry } from './geometry.ts';
import type { MemoryTable } from './memory-table.ts';

/** How a memory table is made. */
export interface MemoryTableOptions {
  /** Default: that of a kernel with 5-level paging in use, which covers all physical memory. */
  readonly geometry?: MemoryTableGeometry;
  /** Defects of the published table that are switched on. Default none. */
  readonly defects?: { readonly [id in MemoryTableDefectId]?: boolean };
}

/** An empty memory table. */
export function createMemoryTable<Value, Frame extends FrameNumber = Gfn>(
  _options: MemoryTableOptions = {},
): MemoryTable<Value, Frame> {
  throw new MemoryTableError('not built yet');
}
