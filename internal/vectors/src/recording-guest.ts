import { createHekiGuest, type HekiGuest, PUBLISHED_LAYOUT } from '@heki/guest';
import { decodePageList, pageListFaultText } from '@heki/hypercall/kvm';
import {
  createFrameAllocator,
  createRam,
  type FrameRange,
  type Gfn,
  type PhysicalMemory,
  type VirtualFrame,
  virtualAddressOf,
  writeBytes,
} from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';

/** A page list as vectors write it: pages in chain order, entries `[pa, epa, permissions]` in hex without prefix. */
export type ListPages = readonly (readonly (readonly [string, string, string])[])[];

/** A published guest core over given page tables, and the page lists that it sends to a hypervisor that agrees to all. */
export interface RecordingGuest {
  readonly guest: HekiGuest;
  /** The lists sent since the latest call, oldest first. */
  takeLists(): ListPages[];
}

/** Frames for list pages, far above the memory of any vector. */
const LIST_FRAMES: FrameRange<Gfn> = { start: (2 ** 39) as Gfn, end: (2 ** 39 + 2 ** 20) as Gfn };

/** A published guest core that has been through early init. */
export function createRecordingGuest(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
  readonly validFrames: readonly FrameRange<Gfn>[];
}): RecordingGuest {
  const frames = createFrameAllocator({ ranges: [LIST_FRAMES] });
  const listMemory = createRam({ ranges: [LIST_FRAMES] });
  let lists: ListPages[] = [];
  const guest = createHekiGuest({
    profile: 'rfc-v2',
    kernel: {
      memory: options.memory,
      pageTableRoot: options.root,
      levels: options.levels,
      validFrames: options.validFrames,
      directMap: PUBLISHED_LAYOUT[options.levels].directMap,
      allocatePage() {
        const frame = frames.allocate();
        if (frame === undefined) return undefined;
        return { frame, address: virtualAddressOf((0xffff_8880_0000_0 + frame) as VirtualFrame) };
      },
      freePage: (page) => frames.free(page.frame),
      store: (page, offset, bytes) => {
        const at = (page.frame * 4096 + offset) as Parameters<typeof writeBytes<Gfn>>[1];
        return writeBytes<Gfn>(listMemory, at, bytes) === bytes.length;
      },
    },
    hypervisor: {
      lockCrs: () => 0,
      protectMemory(list) {
        const decoded = decodePageList({ memory: listMemory, list: BigInt(list), maxPages: 2 ** 20 });
        if (!decoded.ok)
          throw new Error(`the core sent a bad page list: ${pageListFaultText(decoded.fault)}`);
        lists.push(
          decoded.pages.map(({ starts, ends, permissions }) =>
            Array.from(permissions, (permission, index): [string, string, string] => [
              ((starts[index] ?? 0) * 4096).toString(16),
              ((ends[index] ?? 0) * 4096).toString(16),
              permission.toString(16),
            ]),
          ),
        );
        return 0;
      },
    },
  });
  const started = guest.earlyInit();
  if (started.outcome !== 'counting') throw new Error(`early init came to ${started.outcome}`);
  return {
    guest,
    takeLists() {
      const taken = lists;
      lists = [];
      return taken;
    },
  };
}

/** The first difference between two page lists, as text. */
export function listDifference(expected: ListPages | undefined, got: ListPages | undefined): string {
  if (expected === undefined || got === undefined) {
    return `expected ${expected === undefined ? 'no list' : 'a list'}, got ${got === undefined ? 'none' : 'one'}`;
  }
  const lines: string[] = [`expected ${expected.length} list pages, got ${got.length}`];
  for (let page = 0; page < Math.max(expected.length, got.length); page++) {
    const entries = Math.max(expected[page]?.length ?? 0, got[page]?.length ?? 0);
    for (let index = 0; index < entries; index++) {
      const wanted = expected[page]?.[index]?.join(' ') ?? 'nothing';
      const given = got[page]?.[index]?.join(' ') ?? 'nothing';
      if (wanted !== given) {
        return [...lines, `page ${page}, entry ${index}: expected ${wanted}, got ${given}`].join('\n');
      }
    }
  }
  return lines.join('\n');
}
