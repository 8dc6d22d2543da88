import type { FindingKind, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { groupExtents, occurrenceOf, pagesIn, pagesText, placesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';

/** Where a kernel's code lies: its text, and modules with the code that the kernel makes (eBPF, ftrace, kprobes). */
const CODE: readonly string[] = ['kernel text', 'modules'];
/** Real mode reaches 1 MiB. */
const REAL_MODE_FRAMES = 0x100;
/** A page for hypercalls, as Hyper-V's guests have one in vmalloc (hv_hypercall_pg). */
const MOST_HYPERCALL_PAGES = 4;

export const EXECUTABLE_OUTSIDE_TEXT: FindingKind = {
  id: 'heki/executable-outside-text',
  title: 'Executable where no code belongs',
  worst: 'high',
  explanation:
    'A mapping outside the text of the image and the region of modules lets the kernel execute a page. Pages that can be written as well are findings of their own.',
  attack:
    'Code that an attacker placed in data has been made executable, or can be: a hidden module has nowhere else to be.',
  legitimate:
    'The real-mode trampoline, below 1 MiB in the direct map, by which processors start and wake; the hypercall page of a guest of Hyper-V, in vmalloc; the vsyscall page.',
  advice:
    'Look at the contents of the pages and at who allocated them (/proc/vmallocinfo); no kernel needs executable pages in the direct map above 1 MiB.',
  *find(kernel) {
    const extents = kernel.extents.filter(
      ({ rights, mappings }) =>
        (rights & Rights.WRITE) === 0 &&
        mappings.some((one) => (one.rights & Rights.EXECUTE) !== 0 && !CODE.includes(one.region)),
    );
    const isTrampoline = ({ end }: FrameExtent): boolean => end <= REAL_MODE_FRAMES;
    for (const part of [extents.filter(isTrampoline), extents.filter((extent) => !isTrampoline(extent))]) {
      for (const group of groupExtents(part)) {
        const pages = pagesIn(group);
        const { severity, what } = judge(group, pages);
        const summary = `${pagesText(pages)} can be executed outside text and modules${what}: ${placesOf(group[0]?.mappings ?? []).join(', ')}.`;
        yield occurrenceOf(kernel, group, { severity, summary });
      }
    }
  },
};

function judge(group: readonly FrameExtent[], pages: number): { severity: Severity; what: string } {
  const executable = group.flatMap(({ mappings }) =>
    mappings.filter((one) => (one.rights & Rights.EXECUTE) !== 0 && !CODE.includes(one.region)),
  );
  const only = (names: readonly string[]): boolean =>
    executable.every(({ region }) => names.includes(region));
  if (only(['direct map']) && group.every(({ end }) => end <= REAL_MODE_FRAMES)) {
    return { severity: 'info', what: ', where the real-mode trampoline is' };
  }
  if (only(['vsyscall'])) return { severity: 'info', what: ', the vsyscall page' };
  if (only(['vmalloc', 'vmalloc or vmemmap']) && pages <= MOST_HYPERCALL_PAGES) {
    return { severity: 'medium', what: ', as few as a hypercall page' };
  }
  return { severity: 'high', what: '' };
}
