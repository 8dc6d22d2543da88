import type { VirtualFrame } from '@heki/physical-memory';
import { HARDWARE_PRESENCE, LINUX_PRESENCE, walkMappings } from '@heki/x86';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import { hex } from '../error.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import type { HekiKernel } from '../kernel/kernel.ts';

/** `heki_walk` (Heki v2 13/19) over `init_mm`; what there is to warn about. */
export function walkKernel(
  walk: { readonly kernel: HekiKernel; readonly defects: GuestDefectSwitches; readonly budget: number },
  start: VirtualFrame,
  end: VirtualFrame,
  feed: (leaf: NamedLeaf) => void,
): string[] {
  if (start >= end) return [];
  const { kernel, defects, budget } = walk;
  const { memory, pageTableRoot: root, levels, interleave } = kernel;
  const presence = defects['B-G15'] ? LINUX_PRESENCE : HARDWARE_PRESENCE;
  const visit = interleave !== undefined && defects['B-G14'] ? followedBy(feed, interleave) : feed;
  const { absentTables, stoppedAt } = walkMappings(
    { memory, root, levels, presence, budget },
    start,
    end,
    visit,
  );
  const warnings: string[] = [];
  if (absentTables > 0) warnings.push(`${absentTables} page tables are not in memory`);
  if (stoppedAt !== undefined) {
    warnings.push(`page tables without end: nothing from virtual frame ${hex(stoppedAt)} on was walked`);
  }
  return warnings;
}

const followedBy =
  (feed: (leaf: NamedLeaf) => void, then: () => void) =>
  (leaf: NamedLeaf): void => {
    feed(leaf);
    then();
  };
