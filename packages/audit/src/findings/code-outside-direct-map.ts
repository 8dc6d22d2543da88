import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';

export const CODE_OUTSIDE_DIRECT_MAP: FindingKind = {
  id: 'heki/code-outside-direct-map',
  title: 'Code that the direct map lacks',
  worst: 'high',
  explanation:
    'A page that can be executed among the modules has no mapping in the direct map, where Linux has all of its RAM.',
  attack:
    'Code in the memory of a device, or in RAM that was taken out of the direct map, is not seen by who scans the direct map, and Heki as published asks for no protection of it.',
  legitimate:
    'The cache of executable memory of Linux 6.13 and later (execmem_cache_populate) takes its 2-MiB pages out of the direct map.',
  advice: 'Look at the contents of the page, and at the memory map whether it is RAM.',
  *find(kernel) {
    const hidden = kernel.extents.filter(isHiddenCode);
    for (const part of [hidden.filter(isRam(kernel)), hidden.filter((one) => !isRam(kernel)(one))]) {
      yield* occurrencesOf(kernel, part, ({ extents, pagesText, places }) => ({
        severity: part.every(isRam(kernel)) ? severityInRam(extents) : 'high',
        summary: `${pagesText} of code, ${places}, ${part.every(isRam(kernel)) ? 'are' : 'in what the memory map has as no RAM, are'} not in the direct map.`,
      }));
    }
  },
};

function isHiddenCode({ mappings }: FrameExtent): boolean {
  return (
    mappings.every(({ region }) => region !== 'direct map') &&
    mappings.some(({ region, rights }) => region === 'modules' && (rights & Rights.EXECUTE) !== 0)
  );
}

function isRam({ memoryMap }: AuditedKernel) {
  return ({ start, end }: FrameExtent): boolean =>
    memoryMap === undefined ||
    memoryMap.entries.some((entry) => entry.type === 'ram' && entry.start <= start && end <= entry.end);
}

function severityInRam(extents: readonly FrameExtent[]): Severity {
  return extents.every(({ mappings }) => mappings.every(({ level }) => level > 1)) ? 'info' : 'medium';
}
