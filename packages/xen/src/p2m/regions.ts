import { type GuestMemoryRegion, HypervisorError } from '@heki/hypervisor';
import { FRAME_END, type Gfn, type Pfn, type PhysicalMemory } from '@heki/physical-memory';

/** The memory of one domain. */
export interface Regions {
  /** In the order of their frames. */
  readonly all: readonly GuestMemoryRegion[];
  /** One past the last frame of memory. */
  readonly end: number;
  find(gfn: Gfn): GuestMemoryRegion | undefined;
  /** Whether a frame of `start` .. `end` - 1 is memory. */
  overlaps(start: number, end: number): boolean;
  /** @throws {HypervisorError} when it overlaps another region or is empty or beyond all memory */
  add(region: GuestMemoryRegion): void;
  /** @throws {HypervisorError} when no region starts there */
  remove(start: Gfn): GuestMemoryRegion;
  /** Guest memory as another domain maps it: past every right. */
  readonly memory: PhysicalMemory<Gfn>;
}

export function createRegions(host: PhysicalMemory<Pfn>): Regions {
  const all: GuestMemoryRegion[] = [];
  let last: GuestMemoryRegion | undefined;
  const holds = (region: GuestMemoryRegion, gfn: number): boolean =>
    gfn >= region.start && gfn < region.start + region.frames;
  const find = (gfn: Gfn): GuestMemoryRegion | undefined => {
    if (last === undefined || !holds(last, gfn)) last = all.find((region) => holds(region, gfn));
    return last;
  };
  const overlaps = (start: number, end: number): boolean =>
    all.some((region) => start < region.start + region.frames && region.start < end);
  const backing = (gfn: Gfn): Pfn | undefined => {
    const region = find(gfn);
    return region && ((region.backing + (gfn - region.start)) as Pfn);
  };
  return {
    all,
    find,
    overlaps,
    get end() {
      const highest = all.at(-1);
      return highest === undefined ? 0 : highest.start + highest.frames;
    },
    add(region) {
      const { start, frames } = region;
      const range = `guest frames 0x${start.toString(16)}-0x${(start + frames).toString(16)}`;
      if (!(frames > 0) || start < 0 || start + frames > FRAME_END) {
        throw new HypervisorError(
          `${range} are no region: expected at least one frame, all below 0x${FRAME_END.toString(16)}`,
        );
      }
      if (overlaps(start, start + frames))
        throw new HypervisorError(`${range} overlap other memory of the guest`);
      all.push(region);
      all.sort((a, b) => a.start - b.start);
    },
    remove(start) {
      const index = all.findIndex((region) => region.start === start);
      const region = all[index];
      if (region === undefined)
        throw new HypervisorError(`no memory starts at guest frame 0x${start.toString(16)}`);
      all.splice(index, 1);
      last = undefined;
      return region;
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
