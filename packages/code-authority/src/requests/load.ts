import { type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { granted, type Request, refused } from '../answer.ts';
import { emptyFrames, takeAway } from '../frames/named-frames.ts';
import { firstDifference, pageBytes, release, retype, writePages } from '../frames/pages.ts';
import { buildImage } from '../images/build-image.ts';
import { imageFault, RELOCATION_BYTES } from '../images/check-image.ts';
import type { CodeImage, Site } from '../images/code-image.ts';
import { type AuthorityState, addressesAreFree, findExport } from '../state.ts';
import { live, type Placement, placementFault, referencesOf, typeOfPart } from './seal.ts';

/** Pages of a file that a guest hands over: 256 MiB. */
const MOST_FILE_PAGES = 65_536;

/** A signed file in the guest's memory. */
export interface FileInGuest {
  /** Its pages, in order. */
  readonly pages: readonly Gfn[];
  /** Bytes of it. */
  readonly length: number;
}

/**
 * LOAD: a module. The file is copied once and never looked at again; what is executed is what the owner makes of its copy, written into frames
 * that nothing else can reach any more, and that were empty: a stack or a page table that is in use is not. Every site begins in state 0.
 *
 * @param sites B-A3: sites that the guest names, in place of the file's
 */
export function* load(
  state: AuthorityState,
  file: FileInGuest,
  placement: Placement,
  sites: readonly Site[] | undefined,
): Request<number> {
  if (!state.sealed) return refused('wrong-time', 'the kernel is not sealed');
  const copy = copyOf(state, file);
  if (copy === undefined) return refused('malformed', 'the file is not memory, or larger than its bound');
  yield 'copied';
  const signed = state.readImage(copy);
  if (signed === undefined) return refused('not-signed', 'no signature that counts');
  const image: CodeImage =
    state.defects['B-A3'] && sites !== undefined
      ? { ...signed, sites, changeable: new Set(sites.map(({ key }) => key)) }
      : signed;
  const fault = imageFault(image) ?? placementFault(image, placement);
  if (fault !== undefined) return refused('malformed', fault);
  for (const [index, base] of placement.bases.entries()) {
    if (!addressesAreFree(state, base, image.parts[index]?.bytes.length ?? 0))
      return refused('not-free', `part ${index}: another image lies there`);
  }
  const named = emptyFrames(state, placement.frames);
  if (!named.ok) return named;
  const all = named.value.flat();
  const double = exportedTwice(state, image);
  if (double !== undefined) return refused('unresolved', `${double} is exported already`);
  const states = image.sites.map(() => 0);
  const built = buildImage(image, placement.bases, states, (name) => findExport(state, name)?.address);
  if (!built.ok) return refused('unresolved', built.why);
  const id = state.nextId++;

  if (state.defects['B-A6']) {
    const parts = asRelocatedByGuest(state, image, named.value, built.parts);
    for (const [index, frames] of named.value.entries()) {
      const at = firstDifference(state, frames, parts[index] ?? new Uint8Array());
      if (at >= 0) return refused('mismatch', `part ${index}, offset ${at}`);
    }
    yield 'compared';
    retype(state, all, 'staged', id);
  } else {
    const taken = takeAway(state, all, id);
    if (!taken.ok) return taken;
    yield 'staged';
    for (const [index, frames] of named.value.entries()) {
      writePages(state, frames, built.parts[index] ?? new Uint8Array());
    }
  }
  yield 'written';
  // The signed file may have been withdrawn, or its imports unloaded, in the meantime.
  const references = referencesOf(state, image);
  const again = buildImage(image, placement.bases, states, (name) => findExport(state, name)?.address);
  const isTaken =
    exportedTwice(state, image) !== undefined ||
    placement.bases.some(
      (base, index) => !addressesAreFree(state, base, image.parts[index]?.bytes.length ?? 0),
    );
  if (isTaken || !again.ok || again.parts.some((part, index) => firstByte(part, built.parts[index]) >= 0)) {
    retype(state, all, 'retired', 0);
    release(state, all);
    return refused(
      'unresolved',
      'what it refers to has gone, or another image lies there, or exports the same, by now',
    );
  }
  for (const [index, frames] of named.value.entries()) {
    retype(state, frames, typeOfPart(image.parts[index]?.kind ?? 'data'), id);
  }
  state.images.set(id, live(id, image, placement, named.value, states, references));
  state.chain.append(`load ${id} ${image.name}`);
  return granted(id);
}

/** A name of an image that another one exports, too: who imports it would get the one or the other. B-A9 does not look. */
function exportedTwice(state: AuthorityState, { exports }: CodeImage): string | undefined {
  if (state.defects['B-A9']) return undefined;
  return [...exports.keys()].find((name) => findExport(state, name) !== undefined);
}

/** B-A6: whoever compares, and has no symbols of its own, takes what relocations decide from the guest. */
function asRelocatedByGuest(
  state: AuthorityState,
  { relocations }: CodeImage,
  frames: readonly (readonly Pfn[])[],
  built: readonly Uint8Array[],
): Uint8Array[] {
  const parts = built.map((part) => part.slice());
  for (const { at, kind } of relocations) {
    for (let offset = at.offset; offset < at.offset + RELOCATION_BYTES[kind]; offset++) {
      const frame = frames[at.part]?.[Math.floor(offset / PAGE_SIZE)];
      const part = parts[at.part];
      if (frame !== undefined && part !== undefined)
        part[offset] = pageBytes(state, frame)[offset % PAGE_SIZE] ?? 0;
    }
  }
  return parts;
}

function firstByte(a: Uint8Array, b: Uint8Array = new Uint8Array()): number {
  return a.length === b.length ? a.findIndex((byte, index) => byte !== b[index]) : 0;
}

/** The bytes of a file; `undefined` when a page of it is not memory. */
export function copyOf(state: AuthorityState, { pages, length }: FileInGuest): Uint8Array | undefined {
  if (pages.length > MOST_FILE_PAGES || !Number.isInteger(length) || length < 0) return undefined;
  if (Math.ceil(length / PAGE_SIZE) !== pages.length) return undefined;
  const copy = new Uint8Array(length);
  for (const [index, gfn] of pages.entries()) {
    const frame = state.host.hostFrame(gfn);
    const page = frame === undefined ? undefined : state.host.memory.page(frame);
    if (page === undefined) return undefined;
    const bytes = new Uint8Array(page.buffer, page.byteOffset, PAGE_SIZE);
    copy.set(bytes.subarray(0, Math.min(PAGE_SIZE, length - index * PAGE_SIZE)), index * PAGE_SIZE);
  }
  return copy;
}
