import type { RegionName } from '@heki/vmcore';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { Occurrence } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { occurrencesOf } from '../occurrence.ts';
import { hasFrame, variablesOfImage } from '../sealed.ts';
import { framesOfSection, maybeFreedConstants, overlap } from '../within.ts';

/** What a region, each page of which has a frame of its own, leads to instead. */
interface Exchanged {
  /** Whether it shows a frame twice. */
  readonly isDoubled: (extent: FrameExtent) => boolean;
  /** Whether a frame of its own may be one that the direct map lacks. */
  readonly isAnywhere: (extent: FrameExtent) => boolean;
}

/** Frames that `region` leads to and that belong to something else, or that it shows at two addresses. */
export function* exchangedFrames(
  kernel: AuditedKernel,
  region: RegionName,
  { isDoubled, isAnywhere }: Exchanged,
): Generator<Occurrence> {
  const shown = kernel.extents.filter(({ mappings }) => mappings.some((one) => one.region === region));
  const isForeign = isForeignTo(kernel, region);
  const foreign = shown.filter((one) => isForeign(one) || !(isInDirectMap(one) || isAnywhere(one)));
  const doubled = shown.filter((one) => !foreign.includes(one) && isDoubled(one));
  const freed = maybeFreedConstants(kernel);
  const doubtful = shown.filter(
    (one) => !foreign.includes(one) && !doubled.includes(one) && overlap(freed, [one]) > 0,
  );
  for (const [extents, severity, what] of [
    [foreign, 'high', 'belong to something else'],
    [doubled, 'high', 'stand at more than one address there'],
    [doubtful, 'medium', 'are constants of the image, or what was freed behind them'],
  ] as const) {
    yield* occurrencesOf(kernel, extents, ({ pagesText, places }) => ({
      severity,
      summary: `Of the frames that addresses of ${region} lead to, ${pagesText} ${what}: ${places}.`,
    }));
  }
}

/**
 * Whether a frame is something else than a page that the kernel gave to `region` alone: it is mapped in another region than this and the direct
 * map, it is a page table, or code, constants or variables of the image. Memory of the image that was freed after boot is as good as any.
 */
export function isForeignTo(kernel: AuditedKernel, region: RegionName): (extent: FrameExtent) => boolean {
  const { text, rodata } = kernel.sections;
  const ofImage = [
    framesOfSection(kernel, text),
    ...(rodata === undefined ? [] : [framesOfSection(kernel, rodata)]),
    ...variablesOfImage(kernel),
  ];
  const freed = maybeFreedConstants(kernel);
  return (extent) =>
    overlap(ofImage, [extent]) > overlap(freed, [extent]) ||
    hasFrame(kernel.tableFrames, extent) ||
    extent.mappings.some(
      (one) => one.region !== region && one.region !== 'direct map' && !one.region.startsWith('kernel '),
    );
}

/** Whether the direct map shows a frame of `extent`. */
function isInDirectMap({ mappings }: FrameExtent): boolean {
  return mappings.some(({ region }) => region === 'direct map');
}
