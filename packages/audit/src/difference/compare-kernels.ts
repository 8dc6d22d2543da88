import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import type { Audit } from '../audit-kernel.ts';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { Finding } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { PlaceName } from '../mapping.ts';
import { rightsText } from '../rights.ts';

/** Pages of a region with some rights, before and after. */
export interface RegionChange {
  readonly region: PlaceName;
  /** `rw-`. */
  readonly rights: string;
  readonly before: number;
  readonly after: number;
}

/** Part of the image whose mapping differs, by its distance from the start of the image: KASLR does not move it. */
export interface ImageChange {
  /** In bytes. */
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
  /** `r-x`, or `r-x elsewhere` where the address leads to a foreign frame; `not mapped`. */
  readonly before: string;
  readonly after: string;
}

/** Frames that all mappings together allow something else than before. */
export interface FrameChange extends FrameRange<Gfn> {
  readonly before: string;
  readonly after: string;
}

/** What differs between two kernels, or two moments of one. */
export interface Difference {
  /** The direct map and the text lie where they lay: then frames can be compared, too. */
  readonly sameBoot: boolean;
  readonly regions: readonly RegionChange[];
  readonly image: readonly ImageChange[];
  /** Empty unless {@link Difference.sameBoot}. */
  readonly frames: readonly FrameChange[];
  /** Findings of the second that the first does not have, by their fingerprints. */
  readonly appeared: readonly Finding[];
  readonly gone: readonly Finding[];
}

const NOT_MAPPED = 'not mapped';

/**
 * Compares two audits: regions by how many pages have which rights, the image by offsets, and frames when it is the same boot.
 *
 * @param isOtherKernel they are known to be of kernels that were built apart, wherever they lie
 */
export function compareKernels(before: Audit, after: Audit, isOtherKernel = false): Difference {
  const sameBoot =
    !isOtherKernel &&
    before.kernel.tables.directMap.start === after.kernel.tables.directMap.start &&
    before.kernel.sections.image.start === after.kernel.sections.image.start &&
    before.kernel.sections.distance === after.kernel.sections.distance;
  return {
    sameBoot,
    regions: regionChanges(before.kernel, after.kernel),
    image: imageChanges(before.kernel, after.kernel),
    frames: sameBoot ? frameChanges(before.kernel.extents, after.kernel.extents) : [],
    appeared: without(after.findings, before.findings),
    gone: without(before.findings, after.findings),
  };
}

/** Whether nothing differs. */
export function isSame({ regions, image, frames, appeared, gone }: Difference): boolean {
  return [regions, image, frames, appeared, gone].every(({ length }) => length === 0);
}

function without(findings: readonly Finding[], others: readonly Finding[]): Finding[] {
  const known = new Set(others.map(({ fingerprint }) => fingerprint));
  return findings.filter(({ fingerprint }) => !known.has(fingerprint));
}

function regionChanges(before: AuditedKernel, after: AuditedKernel): RegionChange[] {
  const changes = new Map<string, { region: PlaceName; rights: string; before: number; after: number }>();
  for (const [kernel, when] of [
    [before, 'before'],
    [after, 'after'],
  ] as const) {
    for (const { region, rights, frames } of kernel.mappings) {
      const key = `${region} ${rights}`;
      const change = changes.get(key) ?? { region, rights: rightsText(rights), before: 0, after: 0 };
      change[when] += frames;
      changes.set(key, change);
    }
  }
  return [...changes.values()].filter((change) => change.before !== change.after);
}

/** A run of pages of the image that are mapped alike. */
interface ImageRun {
  readonly start: number;
  readonly end: number;
  readonly how: string;
}

function imageChanges(before: AuditedKernel, after: AuditedKernel): ImageChange[] {
  const [first, second] = [imageRuns(before), imageRuns(after)];
  return mergeRuns(first, second).map(({ start, end, before: was, after: is }) => ({
    start: start * 4096,
    end: end * 4096,
    before: was,
    after: is,
  }));
}

function imageRuns({ mappings, sections }: AuditedKernel): ImageRun[] {
  const { image, distance } = sections;
  return mappings
    .filter(({ virtualFrame }) => virtualFrame >= image.start && virtualFrame < image.end)
    .map(({ virtualFrame, guestFrame, frames, rights }) => ({
      start: virtualFrame - image.start,
      end: Math.min(virtualFrame + frames, image.end as VirtualFrame) - image.start,
      how: `${rightsText(rights)}${virtualFrame - guestFrame === distance ? '' : ' elsewhere'}`,
    }));
}

function frameChanges(before: readonly FrameExtent[], after: readonly FrameExtent[]): FrameChange[] {
  const runs = (extents: readonly FrameExtent[]): ImageRun[] =>
    extents.map(({ start, end, rights }) => ({ start, end, how: rightsText(rights) }));
  return mergeRuns(runs(before), runs(after)).map(({ start, end, ...change }) => ({
    ...change,
    start: start as Gfn,
    end: end as Gfn,
  }));
}

/** Where two lists of runs, each ascending and apart, differ; what lies in none of a list is not mapped there. */
function mergeRuns(
  before: readonly ImageRun[],
  after: readonly ImageRun[],
): { start: number; end: number; before: string; after: string }[] {
  const changes: { start: number; end: number; before: string; after: string }[] = [];
  let at = 0;
  let first = 0;
  let second = 0;
  for (;;) {
    while (before[first] !== undefined && (before[first]?.end ?? 0) <= at) first++;
    while (after[second] !== undefined && (after[second]?.end ?? 0) <= at) second++;
    const [one, other] = [before[first], after[second]];
    if (one === undefined && other === undefined) return changes;
    const boundaries = [one, other].flatMap((run) =>
      run === undefined ? [] : run.start > at ? [run.start] : [run.end],
    );
    const end = Math.min(...boundaries);
    const was = one !== undefined && one.start <= at ? one.how : NOT_MAPPED;
    const is = other !== undefined && other.start <= at ? other.how : NOT_MAPPED;
    const last = changes.at(-1);
    if (was !== is) {
      if (last?.end === at && last.before === was && last.after === is) last.end = end;
      else changes.push({ start: at, end, before: was, after: is });
    }
    at = end;
  }
}
