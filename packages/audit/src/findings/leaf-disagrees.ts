import type { FindingKind } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, leafRights, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { rightsText } from '../rights.ts';

export const LEAF_DISAGREES: FindingKind = {
  id: 'heki/leaf-disagrees',
  title: 'The leaf entry grants more than the way to it',
  worst: 'low',
  explanation:
    'Permissions are the AND over all levels. Here the leaf entry alone says more than all together: who reads leaves only, as many tools do, and who later changes an upper entry, takes it for granted.',
  attack: 'One bit in one upper entry opens 512 pages, or 512 times as many, at once.',
  legitimate:
    "KASAN's shadow of untouched memory hangs from read-only tables; espfix stacks are aliased read-only.",
  advice:
    "Nothing while the upper entries are what they are. If they are not KASAN's or espfix's, find who restricts by upper entries.",
  *find(kernel) {
    const groups = new Map<string, Mapping[]>();
    for (const mapping of kernel.mappings) {
      const leaf = leafRights(mapping);
      if ((leaf & ~mapping.rights) === 0) continue;
      const key = `${mapping.region}: leaves say ${rightsText(leaf)}, all levels ${rightsText(mapping.rights)}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [mapping]);
      else group.push(mapping);
    }
    for (const [key, mappings] of groups) {
      yield occurrenceOfMappings(kernel, mappings, {
        severity: 'low',
        summary: `${pagesText(framesOf(mappings))} in ${key}.`,
      });
    }
  },
};
