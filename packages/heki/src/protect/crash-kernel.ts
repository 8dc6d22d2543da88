import { hex } from '@heki/physical-memory';
import { framesIn } from './frames-in.ts';
import type { ListedRange, PageCount } from './report.ts';
import type { Subject } from './subject.ts';

/**
 * The pages of a loaded crash kernel. kexec takes write permission from the region in the direct map as long as one is loaded
 * (arch_kexec_protect_crashkres), and gives it back to load another: read-only pages there are no constants of the kernel.
 */
export function crashKernelPages({ crashKernel }: Subject, sent: readonly ListedRange[]): PageCount {
  const readOnly = sent.filter(({ permissions }) => permissions === 'r--');
  const immutable = readOnly.filter((range) => range.immutable);
  return { pages: framesIn(readOnly, crashKernel), immutable: framesIn(immutable, crashKernel) };
}

/** The region and what of it is a loaded crash kernel, for programs. */
export function crashKernelJson({ crashKernel }: Subject, { pages, immutable }: PageCount): unknown {
  return {
    ranges: crashKernel.map(({ start, end }) => ({ pa: hex(start * 4096), epa: hex(end * 4096) })),
    readOnlyPages: pages,
    immutablePages: immutable,
  };
}
