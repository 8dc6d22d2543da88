import { FRAME_END, type Gfn, type VirtualFrame } from '@heki/physical-memory';
import { isCanonical, upperHalfStart } from '../canonical.ts';
import {
  EntryHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  type LeafLevel,
  type Level,
} from '../entries/entry.ts';
import { PageRights } from '../entries/page-rights.ts';
import {
  checkVirtualRange,
  DEFAULT_TABLE_BUDGET,
  HARDWARE_PRESENCE,
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
} from './mapping-walk.ts';

/**
 * The mappings of the virtual frames `start` .. `end` - 1 in order, each an object of its own: what `walkMappings`
 * visits, by the book. Goes down from the root for one frame, and on behind the entry where that ended. The generator
 * returns the result.
 *
 * @throws {X86Error} when `start` or `end` is no virtual frame number
 */
export function* mappings(
  options: MappingWalkOptions,
  start: VirtualFrame,
  end: VirtualFrame,
): Generator<MappingLeaf, MappingWalkResult> {
  const { memory, root, levels, presence = HARDWARE_PRESENCE, budget = DEFAULT_TABLE_BUDGET } = options;
  checkVirtualRange(start, end);
  let leaves = 0;
  let tables = 0;
  let absentTables = 0;
  let next = 0;

  for (let frame: number = start; frame < end; frame = next) {
    if (!isCanonical(frame as VirtualFrame, levels)) {
      next = upperHalfStart(levels);
      continue;
    }
    let table = root;
    let effective = PageRights.WRITE | PageRights.USER;
    for (let level = levels as Level; ; level = (level - 1) as Level) {
      const span = framesOfLevel(level);
      const tableStart = frame - (frame % (512 * span));
      const entered = frame === start || frame === tableStart || frame === upperHalfStart(levels);
      if (entered && tables === budget) {
        return { stoppedAt: frame as VirtualFrame, leaves, tables, absentTables };
      }
      const page = memory.page(table);
      if (page === undefined) {
        absentTables++;
        next = tableStart + 512 * span;
        break;
      }
      if (entered) tables++;

      const slot = (frame - tableStart - (frame % span)) / span;
      const low = page[2 * slot] ?? 0;
      const high = page[2 * slot + 1] ?? 0;
      const entryStart = frame - (frame % span);
      next = entryStart + span;
      if ((low & presence.present[level]) === 0) break;

      effective &= low | ~(PageRights.WRITE | PageRights.USER);
      if ((high & EntryHigh.XD) !== 0) effective |= PageRights.EXECUTE_DISABLE;
      if (level === 1 || (level <= 3 && (low & presence.leaf) === presence.leaf)) {
        const stored = entryFrame(low, high);
        const inverted = level === 1 && presence.invertedWhenNotPresent && (low & EntryLow.P) === 0;
        const leafFrame = inverted ? FRAME_END - 1 - stored : stored - (stored % span);
        leaves++;
        yield {
          virtualFrame: frame as VirtualFrame,
          guestFrame: (leafFrame + frame - entryStart) as Gfn,
          frames: Math.min(next, end) - frame,
          level: level as LeafLevel,
          low,
          high,
          effective,
        };
        break;
      }
      table = entryFrame(low, high);
    }
  }
  return { stoppedAt: undefined, leaves, tables, absentTables };
}
