import { PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { CodeAuthorityError } from './error.ts';
import { type FrameType, RIGHTS } from './frames/frame-type.ts';
import { imageFault } from './images/check-image.ts';
import type { CodeImage } from './images/code-image.ts';
import { statesOf } from './images/site-bytes.ts';
import { JIT_SLOT } from './requests/program-slots.ts';
import { typeOfPart } from './requests/seal.ts';
import { type AuthorityState, copyOfImage, type LiveImage } from './state.ts';

/** An image of a {@link SavedAuthority}. */
interface SavedImage extends LiveImage {
  /** The owner made it from a template. */
  readonly trampoline: boolean;
}

/** All that an owner of code keeps, as plain data: numbers, bigints, strings, bytes, lists, sets and maps. */
export interface SavedAuthority {
  readonly sealed: boolean;
  readonly nextId: number;
  readonly images: readonly SavedImage[];
  readonly chain: { readonly head: Uint8Array; readonly length: number };
}

/** What the guest's kernel may do before anything is sealed. */
const EVERYTHING = { read: true, write: true, execute: true } as const;

export function saveAuthority(state: AuthorityState): SavedAuthority {
  const { sealed, nextId, chain } = state;
  return {
    sealed,
    nextId,
    images: [...state.images.values()].map((live) => ({
      ...copyOfImage(live),
      trampoline: typeOf(state, live) === 'trampoline',
    })),
    chain: { head: chain.head, length: chain.length },
  };
}

function typeOf(state: AuthorityState, { frames }: LiveImage): FrameType | undefined {
  const frame = frames.flat()[0];
  return frame === undefined ? undefined : state.frames.of(frame).type;
}

/** @throws {CodeAuthorityError} when nothing could be restored from it: then nothing has changed */
export function restoreAuthority(state: AuthorityState, saved: unknown): void {
  const { sealed, nextId, images, chain } = checkSavedAuthority(saved);
  resetAuthority(state);
  for (const { trampoline, ...live } of images) {
    const made = live.programs === undefined ? (trampoline ? 'trampoline' : undefined) : 'jit';
    state.images.set(live.id, copyOfImage(live));
    for (const [part, frames] of live.frames.entries()) {
      const type = made ?? typeOfPart(live.image.parts[part]?.kind ?? 'data');
      state.frames.become(frames, 'staged', live.id);
      state.frames.become(frames, type, live.id);
      state.host.setRights(frames, RIGHTS[type]);
    }
  }
  state.nextId = nextId;
  state.sealed = sealed;
  state.chain.replace(chain.head, chain.length);
  if (sealed) state.host.setOtherRights(RIGHTS.free);
  state.host.flush();
}

/** A new boot: nothing is sealed. */
export function resetAuthority(state: AuthorityState): void {
  const frames = state.frames.frames();
  state.frames.clear();
  state.images.clear();
  state.sealed = false;
  state.nextId = 1;
  state.chain.replace(new Uint8Array(32), 0);
  state.host.setOtherRights(EVERYTHING);
  state.host.setRights(frames, EVERYTHING);
  state.host.flush();
}

/** @throws {CodeAuthorityError} when nothing could be restored from `saved` */
export function checkSavedAuthority(saved: unknown): SavedAuthority {
  const fail = (what: string, expected: string): never => {
    throw new CodeAuthorityError(`saved owner of code: ${what}: expected ${expected}`);
  };
  const { sealed, nextId, images, chain } = (saved ?? {}) as {
    readonly [name in keyof SavedAuthority]?: unknown;
  };
  if (typeof sealed !== 'boolean') return fail(`sealed is ${String(sealed)}`, 'true or false');
  if (!Number.isSafeInteger(nextId) || Number(nextId) < 1)
    return fail(`nextId is ${String(nextId)}`, 'a number from 1 on');
  const { head, length } = (chain ?? {}) as { readonly head?: unknown; readonly length?: unknown };
  if (!(head instanceof Uint8Array) || head.length !== 32 || !Number.isSafeInteger(length))
    return fail('chain', 'a digest of 32 bytes, and a number');
  if (!Array.isArray(images)) return fail('images', 'a list');
  const taken = new Set<unknown>();
  const ids = new Set<unknown>();
  for (const [index, image] of (images as Partial<SavedImage>[]).entries()) {
    const fault = savedImageFault(image, Number(nextId), ids, taken);
    if (fault !== undefined) return fail(`images[${index}]`, fault);
  }
  if (sealed !== images.length > 0)
    return fail(`${images.length} images`, 'the kernel, once it is sealed, and none before');
  return saved as SavedAuthority;
}

/** What an image of a saved state should be, and is not. */
function savedImageFault(
  saved: Partial<SavedImage> | null,
  nextId: number,
  ids: Set<unknown>,
  taken: Set<unknown>,
): string | undefined {
  const { id, image, bases, frames, gone, states, refersTo, trampoline } = saved ?? {};
  if (!Number.isSafeInteger(id) || Number(id) < 1 || Number(id) >= nextId || ids.has(id))
    return `a number of its own below ${nextId}`;
  ids.add(id);
  if (!isImage(image)) return 'an image';
  if (!programsFit(saved?.programs, image)) return 'programs that lie in its slots, each in its own';
  const wrong = imageFault(image);
  if (wrong !== undefined) return `another image than one with ${wrong}`;
  if (!(gone instanceof Map) || !(refersTo instanceof Set) || typeof trampoline !== 'boolean')
    return 'what it refers to and what of it is gone';
  if (
    !Array.isArray(bases) ||
    bases.length !== image.parts.length ||
    !bases.every((base) => typeof base === 'bigint')
  )
    return 'an address for each part';
  if (!Array.isArray(states) || states.length !== image.sites.length) return 'a state for each site';
  for (const [index, site] of image.sites.entries()) {
    const value: unknown = states[index];
    if (!Number.isInteger(value) || Number(value) < -1 || Number(value) >= statesOf(site))
      return `states[${index}] from -1 to ${statesOf(site) - 1}`;
  }
  if (!Array.isArray(frames) || frames.length !== image.parts.length) return 'frames for each part';
  for (const [part, list] of (frames as unknown[]).entries()) {
    const pages = (image.parts[part]?.bytes.length ?? 0) / PAGE_SIZE;
    if (!Array.isArray(list) || (list.length !== pages && !(list.length === 0 && gone.has(part))))
      return `${pages} frames for part ${part}`;
    for (const frame of list as Pfn[]) {
      if (!Number.isSafeInteger(frame) || frame < 0 || frame >= 2 ** 40 || taken.has(frame))
        return 'host frames, each once';
      taken.add(frame);
    }
  }
  return undefined;
}

/** Programs of a pack: within its only part, and none over another. */
function programsFit(programs: unknown, { parts }: CodeImage): boolean {
  if (programs === undefined) return true;
  const [part, ...more] = parts;
  if (!(programs instanceof Map) || part?.kind !== 'text' || more.length > 0) return false;
  let end = 0;
  for (const [slot, slots] of [...(programs as Map<number, number>)].sort(([a], [b]) => a - b)) {
    if (!Number.isSafeInteger(slot) || !Number.isSafeInteger(slots) || slot < end || slots < 1) return false;
    end = slot + slots;
  }
  return end * JIT_SLOT <= part.bytes.length;
}

function isImage(image: unknown): image is CodeImage {
  const { parts, relocations, sites, exports, changeable, templates, helpers, ownOffset } = (image ??
    {}) as Partial<CodeImage>;
  return (
    Array.isArray(parts) &&
    parts.every((part: unknown) => (part as { bytes?: unknown } | null)?.bytes instanceof Uint8Array) &&
    Array.isArray(relocations) &&
    Array.isArray(sites) &&
    exports instanceof Map &&
    changeable instanceof Set &&
    (templates === undefined || templates instanceof Map) &&
    (helpers === undefined || helpers instanceof Set) &&
    (ownOffset === undefined || Number.isInteger(ownOffset))
  );
}
