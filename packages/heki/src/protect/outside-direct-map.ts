import { type CollectiveRights, kernelRightsText, ramOutsideDirectMap } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import type { Colours } from '../colours.ts';
import { type AddressNames, placeJson, withPlace } from '../names/place-text.ts';
import { count } from '../quantity.ts';
import { framesIn } from './frames-in.ts';
import type { ListedRange, OutsideDirectMap } from './report.ts';
import type { Subject } from './subject.ts';

/** More ranges than this are counted, not listed. */
const LISTED_RANGES = 4;

/** RAM that the kernel's direct map lacks. @param sent the ranges that Heki asked for */
export function findOutsideDirectMap(
  { tables, memoryMap }: Subject,
  mappings: CollectiveRights,
  sent: readonly ListedRange[],
): OutsideDirectMap[] {
  const covered = tables.directMap.frames;
  return ramOutsideDirectMap({ tables, covered, memoryMap, mappings }).map((range) => ({
    ...range,
    sent: framesIn(sent, [range]) === range.end - range.start,
  }));
}

/** What a reader must know of it. */
export function outsideDirectMapLines(
  found: readonly OutsideDirectMap[],
  names: AddressNames,
  { yellow, dim }: Colours,
): string[] {
  const mapped = found.filter(({ allowed }) => allowed !== 0);
  const kinds = [
    {
      ranges: mapped.filter(({ sent }) => !sent),
      colour: yellow,
      text: 'not in the direct map, and Heki, which looks there alone, asks for nothing at:',
    },
    {
      ranges: mapped.filter(({ sent }) => sent),
      colour: dim,
      text: 'not in the direct map, and protected by what is mapped elsewhere:',
    },
  ];
  const unmapped = found.filter(({ allowed }) => allowed === 0);
  return [
    ...kinds
      .filter(({ ranges }) => ranges.length > 0)
      .flatMap(({ ranges, colour, text }) => [
        colour(`${pagesOfRam(ranges)} ${text}`),
        ...ranges.slice(0, LISTED_RANGES).map((range) => colour(`  ${rangeText(range, names)}`)),
        ...(ranges.length > LISTED_RANGES
          ? [`  and ${count(ranges.length - LISTED_RANGES, 'more range')} (--json lists all)`]
          : []),
      ]),
    ...(unmapped.length === 0
      ? []
      : [dim(`${pagesOfRam(unmapped)} mapped nowhere in the kernel: nothing there to protect`)]),
  ];
}

function pagesOfRam(ranges: readonly OutsideDirectMap[]): string {
  const pages = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  return `${count(pages, 'page')} of RAM ${pages === 1 ? 'is' : 'are'}`;
}

function rangeText({ start, end, allowed, mappedAt }: OutsideDirectMap, names: AddressNames): string {
  const where = mappedAt === undefined ? '' : ` at ${withPlace(mappedAt, names)}`;
  return `guest-physical ${hex(start * 4096)}-${hex(end * 4096 - 1)}, ${kernelRightsText(allowed)}${where}`;
}

/** The same for programs. */
export function outsideDirectMapJson(found: readonly OutsideDirectMap[], names: AddressNames): unknown {
  return {
    pages: found.reduce((sum, { start, end }) => sum + end - start, 0),
    ranges: found.map(({ start, end, allowed, mappedAt, sent }) => ({
      pa: hex(start * 4096),
      epa: hex(end * 4096),
      mapped: allowed === 0 ? null : kernelRightsText(allowed),
      va: mappedAt === undefined ? null : hex(mappedAt),
      place: mappedAt === undefined ? null : placeJson(names.at(mappedAt)),
      sent,
    })),
  };
}
