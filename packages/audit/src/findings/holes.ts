import type { FindingKind } from '../finding.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';

export const MAPPED_IN_HOLE: FindingKind = {
  id: 'heki/mapped-in-hole',
  title: 'Mapped where Linux has nothing',
  worst: 'high',
  explanation:
    "The kernel's half has holes between its regions, in which Linux maps nothing, ever. Here something is mapped.",
  attack:
    'An address of his own, which no allocator gives out and no tool lists: for code and data that are hidden, or for another way to memory that is watched at its own address.',
  legitimate:
    "Nothing; under Xen PV the hypervisor's own half-way there (0xffff800000000000). Where KASLR's bases are not known, fewer holes are.",
  advice: 'Look at the pages that are mapped there, and at what else maps them.',
  *find(kernel) {
    const strayed = kernel.mappings.filter(({ region }) => region === 'hole');
    if (strayed.length === 0) return;
    const summary = `${pagesText(framesOf(strayed))} are mapped in holes between the kernel's regions.`;
    yield occurrenceOfMappings(kernel, strayed, { severity: 'high', summary });
  },
};
