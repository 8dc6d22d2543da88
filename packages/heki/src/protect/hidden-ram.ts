import { type FrameRange, type Gfn, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import type { ProvenRoot } from '@heki/vmcore';
import {
  addressHigh,
  EntryLow,
  entryFrame,
  HARDWARE_PRESENCE,
  PageRights,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';

const UNCACHED = EntryLow.PCD | EntryLow.PWT;
/** Page-table entries that hold anything, present or not. */
const ANYTHING: PresencePolicy = {
  ...HARDWARE_PRESENCE,
  name: 'anything',
  present: [0, 0xffff_ffff, EntryLow.P, EntryLow.P, EntryLow.P, EntryLow.P],
};

/**
 * The frames between those of the direct map that are RAM by the kernel's tables all the same: their entry in the direct map was made
 * not-present and still holds the frame, plain (KFENCE) or inverted (secretmem, debug_pagealloc), or they are mapped executable elsewhere.
 * Nobody executes the registers of a device; data mapped elsewhere may be tables of the firmware.
 */
export function hiddenRam(kernel: ProvenRoot): FrameRange<Gfn>[] {
  const { levels, directMap, encryptionBit } = kernel;
  const addressBits = addressHigh(encryptionBit);
  const lastFrame = entryFrame(~0, ~0, addressBits);
  const gaps = directMap.frames.flatMap(({ end: start }, index) => {
    const end = directMap.frames[index + 1]?.start ?? start;
    return end > start ? [{ start, end }] : [];
  });
  if (gaps.length === 0) return [];
  const found = new Set<number>();
  for (const { start, end } of gaps) {
    const [from, to] = [directMap.start + start, directMap.start + end];
    const options = { ...kernel, presence: ANYTHING };
    walkMappings(options, from as VirtualFrame, to as VirtualFrame, ({ virtualFrame, level, low, high }) => {
      if (level !== 1 || (low & EntryLow.P) !== 0) return;
      const frame = virtualFrame - directMap.start;
      const stored = entryFrame(low, high, addressBits);
      if (stored === frame || lastFrame - stored === frame) found.add(frame);
    });
  }
  const end = VIRTUAL_FRAME_END as VirtualFrame;
  walkMappings(kernel, upperHalfStart(levels), end, ({ guestFrame, frames, low, effective }) => {
    if ((effective & PageRights.EXECUTE_DISABLE) !== 0 || (low & UNCACHED) !== 0) return;
    for (const gap of gaps) {
      const last = Math.min(gap.end, guestFrame + frames);
      for (let frame = Math.max(gap.start, guestFrame); frame < last; frame++) found.add(frame);
    }
  });
  return [...found].sort((a, b) => a - b).map((frame) => ({ start: frame as Gfn, end: (frame + 1) as Gfn }));
}
