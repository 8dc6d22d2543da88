import {
  FRAME_END,
  firstBehind,
  type Gfn,
  type Pfn,
  type PhysicalMemory,
  type StateDigest,
} from '@heki/physical-memory';
import { HypervisorError } from './error.ts';
import type { GuestMemoryRegion } from './host.ts';
import { type AskedFrames, createHostFrames, type HostFrames } from './host-frames.ts';

/** A part of a region. */
export interface GuestRegionPart {
  readonly region: GuestMemoryRegion;
  readonly start: Gfn;
  readonly end: Gfn;
}

/** The memory of one virtual machine, for a backend to keep: regions that do not overlap, found by their frames. */
export interface GuestRegions {
  /** In the order of their frames. */
  readonly all: readonly GuestMemoryRegion[];
  /** One past the last frame of memory. */
  readonly end: number;
  find(gfn: Gfn): GuestMemoryRegion | undefined;
  /** What of the frames `start` .. `end` - 1 is memory, in order. */
  parts(start: number, end: number): GuestRegionPart[];
  /** Whether a frame of `start` .. `end` - 1 is memory. */
  overlaps(start: number, end: number): boolean;
  /** Which of the guest's frames are the same bytes. */
  readonly hostFrames: HostFrames;
  /** @throws {HypervisorError} when it overlaps another region, is empty or lies beyond all memory */
  add(region: GuestMemoryRegion): void;
  /** @throws {HypervisorError} when no region starts there */
  remove(start: Gfn): GuestMemoryRegion;
  /** Guest memory past every right: what the hypervisor itself and devices see. */
  readonly memory: PhysicalMemory<Gfn>;
  /** What brings back the regions of now, and {@link hostFrames}, as often as it is called. */
  checkpoint(): () => void;
  /** Tells `digest` all of now. */
  digest(digest: StateDigest): void;
}

const endOf = (region: GuestMemoryRegion): number => region.start + region.frames;

/**
 * No regions, of a guest in the host memory `host`.
 *
 * @param asked what was asked for the frames of `start` .. `end` - 1, in order
 */
export function createGuestRegions(
  host: PhysicalMemory<Pfn>,
  asked: (start: Gfn, end: Gfn) => Iterable<AskedFrames> = () => [],
): GuestRegions {
  const all: GuestMemoryRegion[] = [];
  const hostFrames = createHostFrames();
  let last: GuestMemoryRegion | undefined;

  const indexAfter = (frame: number): number => firstBehind(all, frame, endOf);

  function find(gfn: Gfn): GuestMemoryRegion | undefined {
    if (last !== undefined && gfn >= last.start && gfn < endOf(last)) return last;
    const region = all[indexAfter(gfn)];
    if (region === undefined || gfn < region.start) return undefined;
    last = region;
    return region;
  }

  function overlaps(start: number, end: number): boolean {
    const region = all[indexAfter(start)];
    return region !== undefined && start < end && region.start < end;
  }

  function backing(gfn: Gfn): Pfn | undefined {
    const region = find(gfn);
    return region && ((region.backing + (gfn - region.start)) as Pfn);
  }

  return {
    all,
    hostFrames,
    get end() {
      const highest = all.at(-1);
      return highest === undefined ? 0 : endOf(highest);
    },
    find,
    overlaps,
    parts(start, end) {
      const parts: GuestRegionPart[] = [];
      for (let index = indexAfter(start); index < all.length; index++) {
        const region = all[index];
        if (region === undefined || region.start >= end) break;
        parts.push({
          region,
          start: Math.max(start, region.start) as Gfn,
          end: Math.min(end, endOf(region)) as Gfn,
        });
      }
      return parts;
    },
    add(region) {
      const { start, frames } = region;
      const range = `guest frames 0x${start.toString(16)}-0x${(start + frames).toString(16)}`;
      if (!(frames > 0) || start < 0 || endOf(region) > FRAME_END) {
        throw new HypervisorError(
          `${range} are not a region: expected at least one frame, all below 0x${FRAME_END.toString(16)}`,
        );
      }
      if (overlaps(start, endOf(region)))
        throw new HypervisorError(`${range} overlap other memory of the guest`);
      hostFrames.come(region);
      all.splice(indexAfter(start), 0, region);
    },
    remove(start) {
      const index = indexAfter(start);
      const region = all[index];
      if (region?.start !== start)
        throw new HypervisorError(`no memory starts at guest frame 0x${start.toString(16)}`);
      hostFrames.leave(region, asked(region.start, endOf(region) as Gfn));
      all.splice(index, 1);
      last = undefined;
      return region;
    },
    checkpoint() {
      const kept = [...all];
      const back = hostFrames.checkpoint();
      return () => {
        all.splice(0, all.length, ...kept);
        last = undefined;
        back();
      };
    },
    digest(digest) {
      for (const { start, frames, backing, readOnly, largestLeaf = 0 } of all) {
        digest.add(start);
        digest.add(frames);
        digest.add(backing);
        digest.add(largestLeaf);
        digest.word(readOnly === true ? 1 : 0);
      }
      digest.word(-1);
      hostFrames.digest(digest);
    },
    memory: {
      page(gfn) {
        const frame = backing(gfn);
        return frame === undefined ? undefined : host.page(frame);
      },
      writablePage(gfn) {
        const frame = backing(gfn);
        return frame === undefined ? undefined : host.writablePage(frame);
      },
    },
  };
}
