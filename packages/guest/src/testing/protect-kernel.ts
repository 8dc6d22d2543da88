import type { FrameRange, Gfn, PhysicalMemory, VirtualFrame } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { defectSwitches } from '@heki/series';
import { type PagingLevels, walkMappings } from '@heki/x86';
import { HekiCommand } from '../command.ts';
import { createHekiGuest } from '../create-heki-guest.ts';
import { guestDefects } from '../defects/guest-defects.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import { PUBLISHED_LAYOUT } from '../walk/address-space.ts';
import { FlatModel } from './flat-model.ts';
import { PageModel } from './page-model.ts';
import { createTestKernel } from './test-kernel.ts';

/** Page tables and the memory that they map. */
export interface KernelUnderTest {
  readonly tables: {
    readonly memory: PhysicalMemory<Gfn>;
    readonly root: Gfn;
    readonly levels: PagingLevels;
  };
  readonly validFrames: readonly FrameRange<Gfn>[];
}

/**
 * Early and late init of the core; the ranges sent.
 *
 * @param onPage called whenever the core asks for a page of a list
 */
export function protectByExtents(
  { tables, validFrames }: KernelUnderTest,
  profile: Profile,
  onPage: () => void = () => {},
): number {
  let ranges = 0;
  const guest = createHekiGuest({
    kernel: createTestKernel({ tables, validFrames, onAllocate: onPage }),
    profile,
    hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
    onEvent: (event) => {
      if (event.type === 'page-list') ranges = event.ranges;
    },
  });
  guest.earlyInit();
  guest.lateInit();
  return ranges;
}

/** The same, page by page, as the series has it; the ranges that it sends. */
export function protectByPages(kernel: KernelUnderTest): number {
  const end = kernel.validFrames.at(-1)?.end ?? 0;
  let ranges = 0;
  const model = new PageModel(defectSwitches(guestDefects, 'rfc-v2'), {
    isValid: (frame) => frame < end,
    allocate: () => true,
    protectMemory(list) {
      ranges = list.reduce((sum, { entries }) => sum + entries.length, 0);
      return 0;
    },
  });
  model.applyEach(HekiCommand.MAP, (feed) => walkCounted(kernel, feed));
  model.applyEach(HekiCommand.PROTECT_MEMORY, (feed) => walkDirectMap(kernel, feed), { setGlobal: 8 });
  return ranges;
}

/** The same, page by page in flat arrays; the ranges that it would send. */
export function protectByFlatPages(kernel: KernelUnderTest): number {
  const end = kernel.validFrames.at(-1)?.end ?? 0;
  const model = new FlatModel(kernel.validFrames);
  const valid = (feed: (leaf: NamedLeaf) => void) => (leaf: NamedLeaf) => {
    if (leaf.guestFrame < end) feed(leaf);
  };
  walkCounted(kernel, valid(model.map));
  walkDirectMap(kernel, valid(model.protect));
  return model.ranges.length / 3;
}

function walkCounted({ tables }: KernelUnderTest, feed: (leaf: NamedLeaf) => void): void {
  const { kernel, directMap } = PUBLISHED_LAYOUT[tables.levels];
  walkMappings(tables, kernel.start, directMap.start, feed);
  walkMappings(tables, directMap.end, kernel.end as VirtualFrame, feed);
}

function walkDirectMap({ tables }: KernelUnderTest, feed: (leaf: NamedLeaf) => void): void {
  const { start, end } = PUBLISHED_LAYOUT[tables.levels].directMap;
  walkMappings(tables, start, end, feed);
}
