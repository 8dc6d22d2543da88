import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import { framesOfSection } from '../within.ts';
import type { Difference } from './compare-kernels.ts';

/** A change of what stays as it is for good. */
export interface SealedChange {
  /** An address of the image, by its offset in bytes; or frames of it, as physical bytes. */
  readonly what: 'address' | 'frames';
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
  /** `r-x`; of an address also `r-x elsewhere`, `not mapped`. */
  readonly before: string;
  readonly after: string;
}

/**
 * Of `difference`, between `before` and a later moment of the same boot, what Heki would have made impossible: other rights of frames that
 * hold the image's text and constants, and addresses of these that lead elsewhere or allow something else. Modules and generated code
 * come and go.
 */
export function sealedChanges({ image, frames }: Difference, before: AuditedKernel): SealedChange[] {
  const { text, rodata, image: whole } = before.sections;
  const sections = rodata === undefined ? [text] : [text, rodata];
  const changes: SealedChange[] = [];
  for (const section of sections) {
    const offsets = {
      start: (section.start - whole.start) * 4096,
      end: (section.end - whole.start) * 4096,
    };
    for (const change of image) {
      // What lies between was freed, and is mapped no more or for data.
      if (isSealed(change.before)) changes.push(...clipped('address', change, offsets));
    }
    const own: FrameRange<Gfn> = framesOfSection(before, section);
    for (const change of frames) {
      if (!isSealed(change.before)) continue;
      const bytes = { ...change, start: change.start * 4096, end: change.end * 4096 };
      changes.push(...clipped('frames', bytes, { start: own.start * 4096, end: own.end * 4096 }));
    }
  }
  return changes;
}

/** Whether no mapping was writable there. */
function isSealed(rights: string): boolean {
  return rights.startsWith('r-');
}

function clipped(
  what: SealedChange['what'],
  { start, end, before, after }: Omit<SealedChange, 'what'>,
  within: { readonly start: number; readonly end: number },
): SealedChange[] {
  const part = { what, start: Math.max(start, within.start), end: Math.min(end, within.end), before, after };
  return part.start < part.end ? [part] : [];
}
