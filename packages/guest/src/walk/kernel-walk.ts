import type { VirtualFrame } from '@heki/physical-memory';
import { HARDWARE_PRESENCE, LINUX_PRESENCE, type MappingWalkResult, walkMappings } from '@heki/x86';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import type { HekiKernel } from '../kernel/kernel.ts';

/**
 * `heki_walk` (Heki v2 13/19) over `init_mm`. The series goes through a table at each place where one stands; what it would count so is
 * counted here from the places that a leaf has.
 */
export function walkKernel(
  walk: { readonly kernel: HekiKernel; readonly defects: GuestDefectSwitches; readonly budget: number },
  start: VirtualFrame,
  end: VirtualFrame,
  feed: (leaf: NamedLeaf) => void,
): MappingWalkResult {
  const { kernel, defects, budget } = walk;
  const { memory, pageTableRoot: root, levels, encryptionBit, interleave } = kernel;
  const presence = defects['B-G15'] ? LINUX_PRESENCE : HARDWARE_PRESENCE;
  const visit = interleave !== undefined && defects['B-G14'] ? followedBy(feed, interleave) : feed;
  return walkMappings({ memory, root, levels, encryptionBit, presence, budget }, start, end, visit);
}

const followedBy =
  (feed: (leaf: NamedLeaf) => void, then: () => void) =>
  (leaf: NamedLeaf): void => {
    feed(leaf);
    then();
  };
