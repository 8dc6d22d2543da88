import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { isHypercallPage } from '../hypercall-page.ts';
import { isReservedForCrash, tellsMemory } from '../loaded-crash-kernel.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { isVsyscallPage, isWithin, REAL_MODE_FRAMES } from '../within.ts';

/** Where a kernel's code lies: its text, and modules with the code that the kernel makes (eBPF, ftrace, kprobes). */
const CODE: readonly string[] = ['kernel text', 'modules'];
/** Code of the trampoline, of which Linux 6.12 has two pages in one piece. */
const MOST_TRAMPOLINE_PAGES = 8;
/** KEXEC_CONTROL_PAGE_SIZE with what stands before it. */
const MOST_CONTROL_PAGES = 2;

export const EXECUTABLE_OUTSIDE_TEXT: FindingKind = {
  id: 'heki/executable-outside-text',
  title: 'Executable where no code belongs',
  worst: 'high',
  explanation:
    'A mapping outside the text of the image and the region of modules lets the kernel execute a page. Pages that can be written as well are findings of their own.',
  attack:
    'Code that an attacker placed in data has been made executable, or can be: a hidden module has nowhere else to be.',
  legitimate:
    'The real-mode trampoline, below 1 MiB in the direct map, by which processors start and wake; the vsyscall page, where it leads to the image; a hypercall page in vmalloc, told by its contents; the control page of a kernel that kexec has loaded (Linux 6.14 and later), told where it lies in a crash kernel: low where the memory map reserves memory for one there, medium where it was not given.',
  advice:
    'Look at the contents of the pages and at who allocated them (/proc/vmallocinfo); no kernel needs executable pages in the direct map above 1 MiB.',
  *find(kernel) {
    const extents = kernel.extents.filter(
      ({ rights, mappings }) =>
        (rights & Rights.WRITE) === 0 &&
        mappings.some((one) => (one.rights & Rights.EXECUTE) !== 0 && !CODE.includes(one.region)),
    );
    const isTrampoline = ({ end }: FrameExtent): boolean => end <= REAL_MODE_FRAMES;
    const isControl = (extent: FrameExtent): boolean => isWithin(kernel.crashKernel, extent);
    const others = extents.filter((extent) => !isTrampoline(extent));
    for (const part of [
      extents.filter(isTrampoline),
      others.filter(isControl),
      others.filter((extent) => !isControl(extent)),
    ]) {
      yield* occurrencesOf(kernel, part, ({ extents: group, pages, pagesText, places }) => {
        const { severity, what } = judge(kernel, group, pages);
        return {
          severity,
          summary: `${pagesText} can be executed outside text and modules${what}: ${places}.`,
        };
      });
    }
  },
};

function judge(
  kernel: AuditedKernel,
  group: readonly FrameExtent[],
  pages: number,
): { severity: Severity; what: string } {
  const executable = group.flatMap(({ mappings }) =>
    mappings.filter((one) => (one.rights & Rights.EXECUTE) !== 0 && !CODE.includes(one.region)),
  );
  const only = (names: readonly string[]): boolean =>
    executable.every(({ region }) => names.includes(region));
  const isLow = group.every(({ end }) => end <= REAL_MODE_FRAMES);
  const isOnePiece = (group.at(-1)?.end ?? 0) - (group[0]?.start ?? 0) === pages;
  if (only(['direct map']) && isLow && isOnePiece && pages <= MOST_TRAMPOLINE_PAGES) {
    return { severity: 'info', what: ', where the real-mode trampoline is' };
  }
  const isCrash = group.every((extent) => isWithin(kernel.crashKernel, extent));
  if (only(['direct map']) && isCrash && isOnePiece && pages <= MOST_CONTROL_PAGES) {
    const isKnown = group.every((extent) => isReservedForCrash(kernel, extent));
    // What looks like a crash kernel is made by whoever makes pages read-only.
    const severity = isKnown ? 'low' : tellsMemory(kernel) ? 'high' : 'medium';
    return { severity, what: ', where the control page of a crash kernel is' };
  }
  if (executable.every((one) => isVsyscallPage(kernel, one)))
    return { severity: 'info', what: ', the vsyscall page' };
  if (pages === 1 && group.every((extent) => isHypercallPage(kernel, extent))) {
    return { severity: 'medium', what: ', with the contents of a hypercall page' };
  }
  return { severity: 'high', what: '' };
}
