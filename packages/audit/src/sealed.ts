import { type FrameRange, type Gfn, virtualFrameOf } from '@heki/physical-memory';
import type { AuditedKernel } from './audited-kernel.ts';
import type { Mapping } from './mapping.ts';
import { Rights } from './rights.ts';
import { extentsWithin, overlap } from './within.ts';

/** Frames of 2 MiB. */
const HUGE_FRAMES = 512;

/**
 * Whether a mapping of another address space lets write what the kernel's own tables let nobody write (code, constants), or code that is
 * writable there too, or a page table that is not the kernel's way to its own: in no address space of Linux that is so.
 */
export function writesWhatIsSealed(kernel: AuditedKernel, { guestFrame, frames, rights }: Mapping): boolean {
  if ((rights & Rights.WRITE) === 0) return false;
  const range = { start: guestFrame, end: (guestFrame + frames) as Gfn };
  const own = extentsWithin(kernel.extents, range);
  const isSealed = own.some(
    (one) => (one.rights & Rights.EXECUTE) !== 0 || (one.rights & Rights.WRITE) === 0,
  );
  return isSealed || hasFrame(kernel.tableFrames, range) || hasFrame(kernel.programTableFrames, range);
}

/** Whether one of `frames` lies in `range`. */
export function hasFrame(frames: ReadonlySet<Gfn>, { start, end }: FrameRange<Gfn>): boolean {
  if (end - start > frames.size) return [...frames].some((frame) => frame >= start && frame < end);
  for (let frame = start; frame < end; frame++) if (frames.has(frame)) return true;
  return false;
}

/** Variables of the image, by their symbols: init memory, which is freed, lies between them. */
const VARIABLES = [
  ['_sdata', '_edata'],
  ['__bss_start', '__bss_stop'],
] as const;
/** The same by /proc/iomem. */
const VARIABLE_LINES: readonly string[] = ['Kernel data', 'Kernel bss'];

/** Frames of the image's variables, as far as symbols or the memory map tell them from freed memory of the image. */
export function variablesOfImage(kernel: AuditedKernel): FrameRange<Gfn>[] {
  const { symbols, iomem = [], sections } = kernel;
  const bySymbols = VARIABLES.flatMap(([from, to]) => {
    const [start, end] = [symbols?.get(from), symbols?.get(to)];
    if (start === undefined || end === undefined || end <= start) return [];
    const frameOf = (address: typeof start) => virtualFrameOf(address) - sections.distance;
    return [keptOf(frameOf(start), frameOf(end))];
  });
  if (bySymbols.length > 0) return bySymbols;
  return iomem.flatMap((line) => {
    const [, first, last, name = ''] = /^\s*([0-9a-f]{1,13})-([0-9a-f]{1,13}) : (.+?)\s*$/i.exec(line) ?? [];
    if (!VARIABLE_LINES.includes(name)) return [];
    const frameOf = (text: string | undefined) => Math.floor(Number(`0x${text}`) / 4096);
    return [keptOf(frameOf(first), frameOf(last) + 1)];
  });
}

/**
 * Without the last page, which may be shared with what is freed; and without 2 MiB at the end of .bss, where they fill a large page: those of
 * .bss..decrypted are freed where no memory is encrypted (mem_encrypt_free_decrypted_mem).
 */
function keptOf(start: number, end: number): FrameRange<Gfn> {
  const kept = end % HUGE_FRAMES === 0 ? end - HUGE_FRAMES : end - 1;
  return { start: start as Gfn, end: Math.max(start, kept) as Gfn };
}

/** Whether `mapping` has frames of one of `ranges`. */
export function leadsInto(ranges: readonly FrameRange<Gfn>[], { guestFrame, frames }: Mapping): boolean {
  return overlap(ranges, [{ start: guestFrame, end: (guestFrame + frames) as Gfn }]) > 0;
}
