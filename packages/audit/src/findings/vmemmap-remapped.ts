import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { sectionsInDirectMap, sectionsShownAt } from '../vmemmap-base.ts';
import { exchangedFrames } from './foreign-frames.ts';

/** Pages of vmemmap for a huge page of 1 GiB: of no larger one HugeTLB leads all addresses to the first. */
const PAGES_OF_HUGE_PAGE = 4096;

export const VMEMMAP_REMAPPED: FindingKind = {
  id: 'heki/vmemmap-remapped',
  title: 'An address of vmemmap leads to a foreign frame',
  worst: 'high',
  explanation:
    "vmemmap has the kernel's account of each page of memory (struct page); each page of it has a frame of its own, which is nothing else and is in the direct map. Here two addresses lead to one frame, or one leads to what is code, constants, variables, a page table or memory of another region, or lies outside the direct map; or an account is mapped of memory that the kernel does not have.",
  attack:
    'Who writes the account owns the memory: by page counts and flags of his choice a page is freed while it is in use, given out twice, or taken for what it is not.',
  legitimate:
    'HugeTLB (hugetlb_free_vmemmap=on) leads the account of a huge page to the frame of its first part, read-only but for that part, which is passed over. Memory of a GPU (MEMORY_DEVICE_PRIVATE) has an account and no place in the direct map: medium.',
  advice:
    'Treat the guest as compromised. Compare where the address leads with its neighbours (heki walk --range).',
  *find(kernel) {
    yield* exchangedFrames(kernel, 'vmemmap', { isDoubled, isAnywhere: () => false });
    const unowned = ofNoMemory(kernel);
    if (unowned.length === 0) return;
    const summary = `${pagesText(framesOf(unowned))} of vmemmap are the account of memory that the direct map does not have.`;
    yield occurrenceOfMappings(kernel, unowned, { severity: 'medium', summary });
  },
};

function isOfVmemmap({ region }: Mapping): boolean {
  return region === 'vmemmap';
}

/** Whether vmemmap shows the frame twice, and not as hugetlb_vmemmap.c does: written at the first address alone, read behind it. */
function isDoubled({ mappings }: FrameExtent): boolean {
  const own = mappings.filter(isOfVmemmap);
  if (own.length < 2) return false;
  const [first, ...others] = own.filter(({ rights }) => (rights & Rights.WRITE) !== 0);
  if (others.length > 0 || own.some(({ level }) => level > 1)) return true;
  // Later kernels have one page, which vmemmap lets nobody write, for the rest of all huge pages.
  if (first === undefined) return false;
  return own.some(({ virtualFrame }) => {
    const behind = virtualFrame - first.virtualFrame;
    return behind < 0 || behind >= PAGES_OF_HUGE_PAGE;
  });
}

/** The account of sections of which the direct map has not one frame. */
function ofNoMemory({ mappings, regions }: AuditedKernel): Mapping[] {
  const vmemmap = regions.find(({ name }) => name === 'vmemmap');
  if (vmemmap === undefined) return [];
  const sections = sectionsInDirectMap(mappings);
  return mappings.filter(
    (one) =>
      isOfVmemmap(one) &&
      sectionsShownAt(one.virtualFrame - vmemmap.start, one.frames).every(
        (section) => !sections.has(section),
      ),
  );
}
