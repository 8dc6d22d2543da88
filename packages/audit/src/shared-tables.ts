import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { type KernelTables, type Region, regionAt } from '@heki/vmcore';
import { framesOfLevel, type Level, PageRights, walkMappings } from '@heki/x86';

/** Tables that are read to tell what one shows. */
const MOST_TABLES = 1024;

/** A place of a table that stands elsewhere, too. */
interface SharedPlace {
  readonly table: Gfn;
  readonly level: Level;
  readonly virtualFrame: VirtualFrame;
}

/**
 * Of the places where a table stands once more, those where Linux has none: it lets entries share tables for espfix stacks, and for
 * KASAN's shadow of untouched memory, all of which is one constant page.
 */
export function withoutKernelsOwn<Place extends SharedPlace>(
  tables: KernelTables,
  regions: readonly Region[],
  places: readonly Place[],
): Place[] {
  const constant = new Map<Gfn, boolean>();
  return places.filter((place) => {
    if (regionAt(regions, place.virtualFrame) === 'espfix') return false;
    let shadow = constant.get(place.table);
    if (shadow === undefined) {
      shadow = isOneConstantPage(tables, place);
      constant.set(place.table, shadow);
    }
    return !shadow;
  });
}

/** Whether all that is mapped at a place is one page that is neither written nor executed. */
function isOneConstantPage(tables: KernelTables, { virtualFrame, level }: SharedPlace): boolean {
  let page: Gfn | undefined;
  let isConstant = true;
  const end = (virtualFrame + 512 * framesOfLevel(level)) as VirtualFrame;
  const { stoppedAt } = walkMappings(
    { ...tables, budget: MOST_TABLES },
    virtualFrame,
    end,
    ({ guestFrame, effective, level: size }) => {
      page ??= guestFrame;
      const allows = effective & (PageRights.WRITE | PageRights.EXECUTE_DISABLE);
      if (guestFrame !== page || size !== 1 || allows !== PageRights.EXECUTE_DISABLE) isConstant = false;
    },
  );
  return isConstant && stoppedAt === undefined;
}
