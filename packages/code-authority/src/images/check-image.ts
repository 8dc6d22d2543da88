import { PAGE_SIZE } from '@heki/physical-memory';
import { type CodeImage, isText, type Place, type Site, type Template } from './code-image.ts';

/** Bounds of an image that a guest hands over. */
const MOST_PARTS = 16;
const MOST_PAGES = 65_536;
const MOST_RELOCATIONS = 4_000_000;
const MOST_SITES = 400_000;

/** Bytes that a relocation of each kind decides. */
export const RELOCATION_BYTES = { abs64: 8, abs32s: 4, rel32: 4 } as const;

/** What is wrong with an image, signed or not; `undefined` when nothing is. Signers make mistakes, too. */
export function imageFault(image: CodeImage): string | undefined {
  const { parts, relocations, sites, exports } = image;
  if (parts.length === 0 || parts.length > MOST_PARTS)
    return `${parts.length} parts: expected 1 to ${MOST_PARTS}`;
  const pages = parts.reduce((sum, { bytes }) => sum + bytes.length / PAGE_SIZE, 0);
  if (pages > MOST_PAGES) return `${pages} pages: expected at most ${MOST_PAGES}`;
  for (const [index, { bytes }] of parts.entries()) {
    if (bytes.length === 0 || bytes.length % PAGE_SIZE !== 0)
      return `part ${index} has ${bytes.length} bytes: expected whole pages`;
  }
  if (relocations.length > MOST_RELOCATIONS)
    return `${relocations.length} relocations: expected at most ${MOST_RELOCATIONS}`;
  if (sites.length > MOST_SITES) return `${sites.length} sites: expected at most ${MOST_SITES}`;
  for (const [index, { at, kind, to }] of relocations.entries()) {
    if (!holds(image, at, RELOCATION_BYTES[kind])) return `relocation ${index} lies outside its part`;
    if (typeof to !== 'string' && !holds(image, to, 0)) return `relocation ${index} leads outside its part`;
  }
  for (const name of image.helpers ?? []) {
    const place = exports.get(name);
    if (place === undefined || image.parts[place.part]?.kind !== 'text')
      return `helper ${name} is no function that it exports`;
  }
  for (const [name, template] of image.templates ?? []) {
    const fault = templateFault(template);
    if (fault !== undefined) return `template ${name} ${fault}`;
  }
  for (const place of exports.values()) if (!holds(image, place, 0)) return 'an export lies outside its part';
  return sitesFault(image);
}

/** A template is at most a page, and its branch lies within. Of a saved state it may be anything. */
function templateFault(template: Template): string | undefined {
  const { bytes, branch } = (template ?? {}) as Partial<Template>;
  if (!(bytes instanceof Uint8Array) || bytes.length === 0 || bytes.length > PAGE_SIZE)
    return `is not of 1 to ${PAGE_SIZE} bytes`;
  if (branch === undefined) return undefined;
  const { at = 0, targets } = (branch ?? {}) as Partial<typeof branch>;
  if (!Number.isInteger(at) || at < 1 || at + 4 > bytes.length) return `has a branch at ${at}, outside it`;
  const isNamed = Array.isArray(targets) && targets.every((target) => typeof target === 'string');
  return isNamed ? undefined : 'has a branch to what is no name';
}

/** Sites lie in text, are as long as what they can be, lead to places that are there, and do not overlap. */
function sitesFault(image: CodeImage): string | undefined {
  for (const [index, site] of image.sites.entries()) {
    const { at, length, kind, target, targets = [] } = site;
    const part = image.parts[at.part];
    if (part === undefined || !isText(part.kind) || !holds(image, at, length))
      return `site ${index} lies in no text`;
    if (!lengthFits(site)) return `site ${index}, a ${kind}, has ${length} bytes`;
    if (kind === 'jump-label' && (target === undefined || !holds(image, target, 0)))
      return `site ${index} leads nowhere`;
    for (const each of targets) {
      if (typeof each !== 'string' && !holds(image, each, 0)) return `site ${index} leads outside its part`;
    }
  }
  const overlapping = firstOverlap(image.sites);
  return overlapping < 0 ? undefined : `site ${overlapping} overlaps another`;
}

/** Bytes that a part spans at most, and more than a site has: 16 parts of so many, times so many, are a safe integer. */
const PART_SPAN = 2 ** 32;
const LENGTHS = 8;

/** A site that begins within another one, by its number; -1 when none does. A kernel has tens of thousands: places are sorted as numbers. */
function firstOverlap(sites: readonly Site[]): number {
  const places = Float64Array.from(
    sites,
    ({ at: { part, offset }, length }) => (part * PART_SPAN + offset) * LENGTHS + length,
  ).sort();
  let end = 0;
  for (const place of places) {
    const length = place % LENGTHS;
    const start = (place - length) / LENGTHS;
    if (start < end) {
      const [part, offset] = [Math.floor(start / PART_SPAN), start % PART_SPAN];
      return sites.findLastIndex(({ at }) => at.part === part && at.offset === offset);
    }
    end = start + length;
  }
  return -1;
}

function lengthFits({ kind, length }: Site): boolean {
  if (kind === 'lock') return length === 1;
  return kind === 'jump-label' ? length === 2 || length === 5 : length === 5;
}

function holds(image: CodeImage, { part, offset }: Place, bytes: number): boolean {
  const size = image.parts[part]?.bytes.length ?? -1;
  return Number.isSafeInteger(offset) && offset >= 0 && offset + bytes <= size;
}
