import { type GuestMemoryRegion, HypervisorError } from '@heki/hypervisor';
import { FRAME_END, type Gfn, type Pfn, type PhysicalMemory } from '@heki/physical-memory';

/** The RAM of a partition. */
export interface Regions {
  /** In the order of their frames. */
  readonly all: readonly GuestMemoryRegion[];
  find(gfn: Gfn): GuestMemoryRegion | undefined;
  /** The parts of `start` .. `end` - 1 that are RAM, in order. */
  parts(start: number, end: number): { readonly start: Gfn; readonly end: Gfn }[];
  /** @throws {HypervisorError} when it overlaps another region, is empty or lies beyond all memory */
  add(region: GuestMemoryRegion): void;
  /** @throws {HypervisorError} when no region starts there */
  remove(start: Gfn): GuestMemoryRegion;
  /** Guest memory past every protection: what VTL1 and devices see. */
  readonly memory: PhysicalMemory<Gfn>;
}

const endOf = (region: GuestMemoryRegion): number => region.start + region.frames;

export function createRegions(host: PhysicalMemory<Pfn>): Regions {
  const all: GuestMemoryRegion[] = [];
  const find = (gfn: Gfn): GuestMemoryRegion | undefined =>
    all.find((region) => gfn >= region.start && gfn < endOf(region));
  const backing = (gfn: Gfn): Pfn | undefined => {
    const region = find(gfn);
    return region && ((region.backing + (gfn - region.start)) as Pfn);
  };
  const parts = (start: number, end: number): { start: Gfn; end: Gfn }[] =>
    all
      .map((region) => ({
        start: Math.max(start, region.start) as Gfn,
        end: Math.min(end, endOf(region)) as Gfn,
      }))
      .filter((part) => part.start < part.end);
  return {
    all,
    find,
    parts,
    add(region) {
      const { start, frames } = region;
      const text = `guest frames 0x${start.toString(16)}-0x${(start + frames).toString(16)}`;
      if (!(frames > 0) || start < 0 || endOf(region) > FRAME_END) {
        throw new HypervisorError(
          `${text}: expected at least one frame, all below 0x${FRAME_END.toString(16)}`,
        );
      }
      if (parts(start, endOf(region)).length > 0) {
        throw new HypervisorError(`${text} overlap memory that the partition has already`);
      }
      all.push(region);
      all.sort((a, b) => a.start - b.start);
    },
    remove(start) {
      const index = all.findIndex((region) => region.start === start);
      const [region] = index < 0 ? [] : all.splice(index, 1);
      if (region === undefined) {
        throw new HypervisorError(`no memory starts at guest frame 0x${start.toString(16)}`);
      }
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
