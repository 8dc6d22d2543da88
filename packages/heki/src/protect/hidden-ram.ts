import { type FrameRange, type Gfn, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { type LastEntry, lastEntryAt, type ProvenRoot } from '@heki/vmcore';
import {
  addressHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  PageRights,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';

const UNCACHED = EntryLow.PCD | EntryLow.PWT;
/** Frames of 1 GiB: regions of the kernel's address space are as far apart at least (arch/x86/mm/kaslr.c). */
const GIB_FRAMES = 2 ** 18;

/**
 * The frames that the direct map lacks and that are RAM by the kernel's tables all the same: their entry in the direct map was made
 * not-present and still holds the frame, plain (KFENCE) or inverted (secretmem, debug_pagealloc), or leads to another frame (damage, or an
 * attacker), or, between those that it maps, they are mapped executable elsewhere.
 * The registers of a device are never executed; data mapped elsewhere may be tables of the firmware.
 */
export function hiddenRam(kernel: ProvenRoot): FrameRange<Gfn>[] {
  const { levels, directMap, encryptionBit } = kernel;
  const addressBits = addressHigh(encryptionBit);
  const found = new Set<number>();
  for (const { start, end } of gapsIn(directMap.frames)) {
    for (let frame: number = start; frame < end; ) {
      const entry = lastEntryAt(kernel, (directMap.start + frame) as VirtualFrame);
      const next = Math.min(end, entry.end - directMap.start);
      if (isDirectMapsOf(frame, entry, addressBits)) for (; frame < next; frame++) found.add(frame);
      frame = next;
    }
  }
  const between = gapsIn(directMap.frames).slice(1, -1);
  const end = VIRTUAL_FRAME_END as VirtualFrame;
  walkMappings(kernel, upperHalfStart(levels), end, ({ guestFrame, frames, low, effective }) => {
    if ((effective & PageRights.EXECUTE_DISABLE) !== 0 || (low & UNCACHED) !== 0) return;
    for (const gap of between) {
      const last = Math.min(gap.end, guestFrame + frames);
      for (let frame = Math.max(gap.start, guestFrame); frame < last; frame++) found.add(frame);
    }
  });
  return [...found].sort((a, b) => a - b).map((frame) => ({ start: frame as Gfn, end: (frame + 1) as Gfn }));
}

/** What lies before, between and behind the frames of a direct map: behind, as far as the GiB goes in which it ends. */
function gapsIn(frames: ProvenRoot['directMap']['frames']): FrameRange<Gfn>[] {
  const last = frames.at(-1)?.end ?? 0;
  const starts = [0, ...frames.map(({ end }) => end)];
  const ends = [...frames.map(({ start }) => start), Math.ceil(last / GIB_FRAMES) * GIB_FRAMES];
  return starts.map((start, index) => ({ start: start as Gfn, end: (ends[index] ?? start) as Gfn }));
}

/** Whether an entry that does not map `frame` in the direct map is there for it. */
function isDirectMapsOf(frame: number, { level, low, high }: LastEntry, addressBits: number): boolean {
  if ((low & EntryLow.P) !== 0) return true;
  if (low === 0 && high === 0) return false;
  const span = framesOfLevel(level);
  const first = (stored: number): number => stored - (stored % span);
  const stored = entryFrame(low, high, addressBits);
  const lastFrame = entryFrame(~0, ~0, addressBits);
  return first(stored) === first(frame) || first(lastFrame - stored) === first(frame);
}
