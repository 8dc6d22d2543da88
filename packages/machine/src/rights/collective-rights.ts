import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { type MappingWalkOptions, PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { KernelRights } from './kernel-rights.ts';

/** Frames that share one number as long as their rights are equal: those of a 2-MiB page. */
const CHUNK = 512;

/** What the kernel's mappings of each frame allow together: the union over all of them. */
export interface CollectiveRights {
  /** An OR of `KernelRights`; 0 for a frame that no mapping has. */
  of(frame: number): number;
  /** The first frame behind `frame` whose rights may differ, below `limit`. */
  next(frame: number, limit: number): number;
  /** Page tables that memory does not have: what they map is not in here. */
  readonly absentTables: number;
  /** The walk gave up before it had seen every mapping. */
  readonly cutShort: boolean;
}

/**
 * Walks the kernel half and joins the rights of all mappings of every frame below `frames`. READ comes with any mapping, WRITE and
 * EXECUTE by the entries of all levels, as the processor takes them.
 *
 * @param options.budget page-table pages that are walked at most; default that of `walkMappings`
 */
export function collectiveRights(
  options: Omit<MappingWalkOptions, 'presence'>,
  frames: number,
): CollectiveRights {
  const uniform = new Uint8Array(Math.ceil(frames / CHUNK));
  const mixed = new Map<number, Uint8Array>();

  function add(start: number, end: number, allows: number): void {
    for (let at = start; at < end; ) {
      const chunk = Math.floor(at / CHUNK);
      const first = chunk * CHUNK;
      const until = Math.min(end, first + CHUNK);
      let single = mixed.get(chunk);
      const rights = uniform[chunk] ?? 0;
      if (single === undefined && at === first && until === first + CHUNK) uniform[chunk] = rights | allows;
      else if (single !== undefined || (rights & allows) !== allows) {
        if (single === undefined) {
          single = new Uint8Array(CHUNK).fill(rights);
          mixed.set(chunk, single);
        }
        for (let frame = at - first; frame < until - first; frame++) {
          single[frame] = (single[frame] ?? 0) | allows;
        }
      }
      at = until;
    }
  }

  const { absentTables, stoppedAt } = walkMappings(
    options,
    upperHalfStart(options.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ guestFrame, frames: count, effective }) => {
      if (guestFrame >= frames) return;
      add(guestFrame, Math.min(guestFrame + count, frames), rightsOfMapping(effective));
    },
  );

  return {
    absentTables,
    cutShort: stoppedAt !== undefined,
    of(frame) {
      const chunk = Math.floor(frame / CHUNK);
      return mixed.get(chunk)?.[frame % CHUNK] ?? uniform[chunk] ?? 0;
    },
    next(frame, limit) {
      const chunk = Math.floor(frame / CHUNK);
      const end = Math.min(limit, (chunk + 1) * CHUNK);
      const single = mixed.get(chunk);
      if (single === undefined) return end;
      const rights = single[frame % CHUNK];
      let at = frame + 1;
      while (at < end && single[at % CHUNK] === rights) at++;
      return at;
    },
  };
}

/** What the mappings of one frame allow together, by a walk of its own. */
export function rightsOfFrame(tables: Omit<MappingWalkOptions, 'presence'>, frame: number): number {
  let rights = 0;
  walkMappings(
    tables,
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ guestFrame, frames, effective }) => {
      if (frame >= guestFrame && frame < guestFrame + frames) rights |= rightsOfMapping(effective);
    },
  );
  return rights;
}

/** READ comes with any mapping. @param effective an OR of `PageRights` */
function rightsOfMapping(effective: number): number {
  return (
    KernelRights.READ |
    ((effective & PageRights.WRITE) === 0 ? 0 : KernelRights.WRITE) |
    ((effective & PageRights.EXECUTE_DISABLE) === 0 ? KernelRights.EXECUTE : 0)
  );
}
