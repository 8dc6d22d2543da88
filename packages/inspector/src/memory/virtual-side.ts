import { firstBehind } from '@heki/physical-memory';

/** Leaves that are alike and lie side by side, in virtual and in physical memory. */
export interface VirtualStretch {
  /** First virtual frame, canonical. */
  readonly virtualFrame: number;
  /** First guest frame. */
  readonly frame: number;
  /** 4-KiB pages. */
  readonly pages: number;
  /** Index in {@link VirtualSide.kinds}. */
  readonly kind: number;
}

/** What the leaves of a stretch have in common. */
export interface LeafKind {
  readonly region: string;
  /** `2M`. */
  readonly size: string;
  /** `r-x`: what all levels together allow. */
  readonly rights: string;
  /** `rwx`: what the leaf alone says. */
  readonly leaf: string;
  /** Its table stands at several places, and is listed at the first. */
  readonly isShared: boolean;
}

/** What is mapped, by virtual address. */
export interface VirtualSide {
  /** Ascending. */
  readonly stretches: readonly VirtualStretch[];
  readonly kinds: readonly LeafKind[];
  /** Of all, those that were left out among them. */
  readonly leaves: number;
  /** Stretches that are not listed: those with the highest addresses. */
  readonly leftOut: number;
}

/** A region that has leaves, as far as they lie side by side: modules and eBPF programs may alternate. */
interface MappedRegion {
  readonly name: string;
  /** Index of its first stretch. */
  readonly first: number;
  /** 4-KiB pages that are mapped in it. */
  readonly pages: number;
}

/** The regions, ascending. */
export function mappedRegions({ stretches, kinds }: VirtualSide): readonly MappedRegion[] {
  const regions: { name: string; first: number; pages: number }[] = [];
  for (const [index, { kind, pages }] of stretches.entries()) {
    const name = kinds[kind]?.region ?? '';
    const last = regions.at(-1);
    if (last?.name === name) last.pages += pages;
    else regions.push({ name, first: index, pages });
  }
  return regions;
}

/** Index of the stretch in which a virtual frame is, or of the next behind it; the last where there is none. */
export function stretchAt({ stretches }: VirtualSide, frame: number): number {
  const index = firstBehind(stretches, frame, ({ virtualFrame, pages }) => virtualFrame + pages);
  return Math.min(index, stretches.length - 1);
}
