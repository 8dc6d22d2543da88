import {
  type FrameRange,
  type Gfn,
  hex,
  joinedRanges,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';
import type { AuditedKernel } from './audited-kernel.ts';
import type { Alias, Occurrence, Severity } from './finding.ts';
import type { FrameExtent } from './frame-extents.ts';
import type { Mapping } from './mapping.ts';
import { Rights, rightsText } from './rights.ts';

/** Runs of addresses that an occurrence lists. */
const MOST_ALIASES = 256;

/** Where symbols name what is there. */
const NAMED_REGIONS = /^(kernel |modules$)/;

/** Part of a leaf. */
interface MappedPart {
  readonly mapping: Mapping;
  readonly start: Gfn;
  readonly end: Gfn;
}

/** Extents whose mappings lie in the same regions with the same rights. */
export interface ExtentGroup {
  readonly extents: readonly FrameExtent[];
  /** Of the first of them: those of the others lie in the same regions. */
  readonly mappings: readonly Mapping[];
  readonly pages: number;
  /** `4,403 pages`. */
  readonly pagesText: string;
  /** `direct map rw-, kernel text r-x`. */
  readonly places: string;
}

/** `extents` in groups, one occurrence each. */
export function* occurrencesOf(
  kernel: AuditedKernel,
  extents: Iterable<FrameExtent>,
  describe: (group: ExtentGroup) => { readonly severity: Severity; readonly summary: string },
): Generator<Occurrence> {
  const groups = new Map<string, FrameExtent[]>();
  for (const extent of extents) {
    const places = placesOf(extent.mappings).join(', ');
    const group = groups.get(places);
    if (group === undefined) groups.set(places, [extent]);
    else group.push(extent);
  }
  for (const [places, group] of groups) {
    const pages = pagesIn(group);
    const mappings = group[0]?.mappings ?? [];
    const about = describe({ extents: group, mappings, pages, pagesText: pagesText(pages), places });
    yield occurrenceOf(kernel, group, about);
  }
}

/** `kernel text r-x`, `direct map rw-`: where mappings lie and what they allow, each once, sorted. */
export function placesOf(mappings: readonly Mapping[]): string[] {
  const places = new Set(mappings.map(({ region, rights }) => `${region} ${rightsText(rights)}`));
  return [...places].sort();
}

/** The occurrence that `extents` with all their mappings are. */
export function occurrenceOf(
  kernel: AuditedKernel,
  extents: readonly FrameExtent[],
  about: { readonly severity: Severity; readonly summary: string },
): Occurrence {
  const parts = extents.flatMap(({ start, end, mappings }) =>
    mappings.map((mapping) => ({ mapping, start, end })),
  );
  const unlisted = extents.reduce(
    (sum, { mappingCount, mappings }) => sum + mappingCount - mappings.length,
    0,
  );
  return occurrenceOfParts(kernel, parts, { ...about, unlisted });
}

/** The occurrence that single mappings are, whatever else maps their frames. */
export function occurrenceOfMappings(
  kernel: AuditedKernel,
  mappings: readonly Mapping[],
  about: { readonly severity: Severity; readonly summary: string },
): Occurrence {
  const parts = mappings.map((mapping) => ({
    mapping,
    start: mapping.guestFrame,
    end: (mapping.guestFrame + mapping.frames) as Gfn,
  }));
  return occurrenceOfParts(kernel, parts, { ...about, unlisted: 0 });
}

/** An occurrence that is about no memory. @param place what tells it from others of its kind */
export function occurrenceWithoutMemory(place: string, severity: Severity, summary: string): Occurrence {
  return { severity, summary, ranges: [], aliases: [], aliasesLeftOut: 0, place };
}

/** An occurrence about frames that nothing maps. */
export function occurrenceOfFrames(
  ranges: readonly FrameRange<Gfn>[],
  about: { readonly severity: Severity; readonly summary: string; readonly place: string },
): Occurrence {
  return { ...about, ranges, aliases: [], aliasesLeftOut: 0 };
}

/** Frames that `mappings` lead to, one that two lead to twice. */
export function framesOf(mappings: readonly Mapping[]): number {
  return mappings.reduce((sum, { frames }) => sum + frames, 0);
}

/** Pages in `ranges`. */
export function pagesIn(ranges: readonly { readonly start: number; readonly end: number }[]): number {
  return ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
}

/** `1 page`, `4,403 pages`. */
export function pagesText(pages: number): string {
  return `${pages.toLocaleString('en-US')} ${pages === 1 ? 'page' : 'pages'}`;
}

function occurrenceOfParts(
  { sections, symbolAt }: AuditedKernel,
  parts: readonly MappedPart[],
  { severity, summary, unlisted }: { severity: Severity; summary: string; unlisted: number },
): Occurrence {
  const aliases = joinedAliases(parts);
  const places = new Set(
    aliases.map((alias) => `${placeOf(alias, sections.image)} ${rightsText(alias.effective)}`),
  );
  return {
    severity,
    summary,
    ranges: joinedRanges(parts),
    aliases: aliases.slice(0, MOST_ALIASES).map((alias) => {
      const isNamed = symbolAt !== undefined && NAMED_REGIONS.test(alias.region);
      const symbol = isNamed ? symbolAt(virtualAddressOf(alias.start)) : undefined;
      return symbol === undefined ? alias : { ...alias, symbol };
    }),
    aliasesLeftOut: Math.max(0, aliases.length - MOST_ALIASES) + unlisted,
    place: [...places].sort().join(', '),
  };
}

/** In the image, offsets tell; elsewhere KASLR and the order of allocations decide, and only the region's name stays. */
function placeOf({ start, end, region }: Alias, image: { start: number; end: number }): string {
  if (start < image.start || end > image.end) return region;
  return `${region} +${hex((start - image.start) * 4096)}..+${hex((end - image.start) * 4096)}`;
}

function joinedAliases(parts: readonly MappedPart[]): Alias[] {
  const joined: { -readonly [Key in keyof Alias]: Alias[Key] }[] = [];
  for (const part of parts.toSorted((a, b) => virtualStart(a) - virtualStart(b))) {
    const { mapping, start: frame } = part;
    const start = virtualStart(part);
    const end = (start + (part.end - frame)) as VirtualFrame;
    const leaf = leafRights(mapping);
    const last = joined.at(-1);
    if (
      last !== undefined &&
      last.end === start &&
      last.frame + (last.end - last.start) === frame &&
      last.region === mapping.region &&
      last.leaf === leaf &&
      last.effective === mapping.rights
    ) {
      last.end = end;
    } else joined.push({ start, end, frame, region: mapping.region, leaf, effective: mapping.rights });
  }
  return joined;
}

function virtualStart({ mapping, start }: MappedPart): VirtualFrame {
  return (mapping.virtualFrame + (start - mapping.guestFrame)) as VirtualFrame;
}

/** What the leaf entry alone says. */
export function leafRights({ low, high }: Mapping): number {
  return (
    Rights.READ |
    ((low & EntryLow.RW) === 0 ? 0 : Rights.WRITE) |
    ((high & EntryHigh.XD) === 0 ? Rights.EXECUTE : 0) |
    ((low & EntryLow.US) === 0 ? 0 : Rights.USER)
  );
}
