import type { FindingKind, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { isReadOnlyAlone, isReservedForCrash, tellsMemory } from '../loaded-crash-kernel.ts';
import { occurrencesOf } from '../occurrence.ts';
import { isWithin, REAL_MODE_FRAMES } from '../within.ts';

export const READ_ONLY_ALONE: FindingKind = {
  id: 'heki/read-only-alone',
  title: 'Read-only in the direct map, and mapped nowhere else',
  worst: 'high',
  explanation:
    "Linux takes write permission from the direct map together with a mapping of code or constants, and gives it back when that goes. Here the other mapping is missing: the frame holds what was a module's or the image's, and the address that led to it leads elsewhere.",
  attack:
    "The attacker led an address of a module's text to a page of his own, which is read-only in the direct map as text has to be: permissions alone do not tell it from the one that belongs there, but the frame that belongs there is left over.",
  legitimate:
    'A crash kernel that kexec has loaded (arch_kexec_protect_crashkres), and a page of the real-mode trampoline below 1 MiB.',
  advice:
    "Compare the contents of the page with the modules' text and the image, and what vmalloc says of its areas' pages with the page tables.",
  *find(kernel) {
    const alone = kernel.extents.filter((one) => one.end > REAL_MODE_FRAMES && isReadOnlyAlone(one));
    const crash = alone.filter((one) => isWithin(kernel.crashKernel, one));
    const known = crash.filter((one) => isReservedForCrash(kernel, one));
    for (const [part, severity, what] of [
      [known, 'info', ', in memory reserved for a crash kernel,'],
      [
        crash.filter((one) => !known.includes(one)),
        tellsMemory(kernel) ? 'high' : 'low',
        ', as many as a crash kernel has,',
      ],
      [alone.filter((one) => !crash.includes(one)), 'high', ''],
    ] as const satisfies readonly (readonly [readonly FrameExtent[], Severity, string])[]) {
      yield* occurrencesOf(kernel, part, ({ pagesText, pages }) => ({
        severity,
        summary: `${pagesText}${what} ${pages === 1 ? 'is' : 'are'} read-only in the direct map and mapped nowhere else.`,
      }));
    }
  },
};
