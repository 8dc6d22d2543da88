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
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
} from './mapping-walk.ts';
import { entryKind, HARDWARE_PRESENCE } from './presence-policy.ts';
import { findSharedTables, isWhole, sharedTable, type TableContext } from './table-contexts.ts';

const ALL_RIGHTS = EntryLow.RW | EntryLow.US;

/**
 * The mappings of the virtual frames `start` .. `end` - 1 in order, each an object of its own: what `walkMappings`
 * visits, by the book. Goes down from the root for one frame, and on behind the entry where that ended. The generator
 * returns the result.
 *
 * @throws {X86Error} when `start` or `end` is not a virtual frame number
 */
export function* mappings(
  options: MappingWalkOptions,
  start: VirtualFrame,
  end: VirtualFrame,
): Generator<MappingLeaf, MappingWalkResult> {
  const { memory, root, levels, presence = HARDWARE_PRESENCE, budget = DEFAULT_TABLE_BUDGET } = options;
  const { encryptionBit } = options;
  checkVirtualRange(start, end);
  const contexts = findSharedTables(options, start, end);
  const counts = { leaves: 0, mappings: 0, tables: 0, absentTables: 0, sharedPlaces: 0 };
  const tablesAtSeveralLevels = contexts?.atSeveralLevels ?? 0;
  let next = 0;

  for (let frame: number = start; frame < end; frame = next) {
    if (!isCanonical(frame as VirtualFrame, levels)) {
      next = upperHalfStart(levels);
      continue;
    }
    let table = root;
    let common: number = ALL_RIGHTS;
    let executeDisable = 0;
    /** Those of the tables on the way down that have all their places counted. */
    const path: TableContext[] = [];
    for (let level = levels as Level; ; level = (level - 1) as Level) {
      const span = framesOfLevel(level);
      const tableStart = frame - (frame % (512 * span));
      const tableEnd = tableStart + 512 * span;
      const whole = level < levels && isWhole(level, tableStart, start, end);
      const context = whole ? contexts?.find(table, level, common, executeDisable) : undefined;
      if (context !== undefined) {
        context.visitedAt ??= tableStart;
        if (context.visitedAt !== tableStart) {
          next = tableEnd;
          if (context.mappings === 0) break;
          for (const above of path) above.mappings += context.mappings;
          counts.sharedPlaces++;
          options.onShared?.(sharedTable(context, tableStart));
          break;
        }
        path.push(context);
      }

      const entered = frame === start || frame === tableStart || frame === upperHalfStart(levels);
      if (entered && counts.tables + counts.absentTables === budget) {
        return { stoppedAt: frame as VirtualFrame, ...counts, tablesAtSeveralLevels };
      }
      const page = memory.page(table);
      if (page === undefined) {
        counts.absentTables++;
        next = tableEnd;
        break;
      }
      if (entered) counts.tables++;

      const slot = (frame - tableStart - (frame % span)) / span;
      const low = page[2 * slot] ?? 0;
      const high = page[2 * slot + 1] ?? 0;
      const entryStart = frame - (frame % span);
      next = entryStart + span;
      const kind = entryKind(presence, level, low);
      if (kind === 'hole') break;

      common &= low;
      if ((high & EntryHigh.XD) !== 0) executeDisable = 1;
      if (kind === 'leaf') {
        const stored = entryFrame(low, high);
        const inverted = presence.invertedWhenNotPresent && (low & EntryLow.P) === 0;
        const mapped = decrypted(inverted ? FRAME_END - 1 - stored : stored, encryptionBit);
        const places = context?.places ?? 1;
        counts.leaves++;
        counts.mappings += places;
        for (const above of path) above.mappings++;
        yield {
          virtualFrame: frame as VirtualFrame,
          guestFrame: (mapped - (mapped % span) + frame - entryStart) as Gfn,
          frames: Math.min(next, end) - frame,
          level: level as LeafLevel,
          low,
          high,
          effective: common | (executeDisable * PageRights.EXECUTE_DISABLE),
          places,
        };
        break;
      }
      table = decrypted(entryFrame(low, high), encryptionBit);
    }
  }
  return { stoppedAt: undefined, ...counts, tablesAtSeveralLevels };
}

/** A frame number without the C-bit. */
function decrypted(frame: number, encryptionBit: number | undefined): Gfn {
  if (encryptionBit === undefined) return frame as Gfn;
  const bit = 2 ** (encryptionBit - 12);
  return (frame - (Math.floor(frame / bit) % 2) * bit) as Gfn;
}
