import type { FrameRange, Gfn } from '@heki/physical-memory';
import { fitOfMemoryMap } from '@heki/vmcore';
import type { FindingKind } from '../finding.ts';
import { occurrenceOfFrames, pagesIn, pagesText } from '../occurrence.ts';

export const RAM_OUTSIDE_DIRECT_MAP: FindingKind = {
  id: 'heki/ram-outside-direct-map',
  title: 'RAM that the direct map lacks',
  worst: 'low',
  explanation:
    'Frames that are RAM by the memory map are not in the direct map: the kernel cannot reach them there.',
  attack: 'Code and data there are out of sight of what walks the direct map, Heki as published among it.',
  legitimate:
    'memfd_secret, KFENCE and DEBUG_PAGEALLOC take free pages out of the direct map; firmware keeps some.',
  advice:
    'Nothing, if the amount fits what the guest uses of these. A hypervisor has to be told of such frames by other means than the direct map.',
  *find({ tables, memoryMap }) {
    if (memoryMap === undefined) return;
    const fit = fitOfMemoryMap(tables, memoryMap);
    const ranges: readonly FrameRange<Gfn>[] = [...fit.unknown, ...fit.cleared].sort(
      (a, b) => a.start - b.start,
    );
    if (ranges.length === 0) return;
    const summary = `${pagesText(pagesIn(ranges))} of RAM are not in the direct map.`;
    yield occurrenceOfFrames(ranges, { severity: 'low', summary, place: 'RAM' });
  },
};
