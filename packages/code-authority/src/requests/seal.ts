import { type Gfn, hex, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { granted, type Request, refused } from '../answer.ts';
import { type FrameType, RIGHTS } from '../frames/frame-type.ts';
import { freeFrames } from '../frames/named-frames.ts';
import { firstDifference } from '../frames/pages.ts';
import { buildImage } from '../images/build-image.ts';
import { imageFault } from '../images/check-image.ts';
import { type CodeImage, isText, type PartKind } from '../images/code-image.ts';
import type { SignedKernel } from '../images/signed-kernel.ts';
import { lockFault, statesOf } from '../images/site-bytes.ts';
import { type AuthorityState, findExport, type LiveImage } from '../state.ts';

/** Where an image lies, as the guest names it. */
export interface Placement {
  /** The address of each part. */
  readonly bases: readonly bigint[];
  /** The guest frames of each part. */
  readonly frames: readonly (readonly Gfn[])[];
}

/** The type of the frames of a part. */
export function typeOfPart(kind: PartKind): FrameType {
  if (isText(kind)) return 'text';
  return kind === 'rodata' || kind === 'init-rodata' ? 'rodata' : 'data';
}

/** Why a placement does not fit an image. */
export function placementFault(image: CodeImage, { bases, frames }: Placement): string | undefined {
  if (bases.length !== image.parts.length || frames.length !== image.parts.length)
    return `${bases.length} addresses and ${frames.length} lists of frames for ${image.parts.length} parts`;
  for (const [index, { bytes }] of image.parts.entries()) {
    if ((frames[index]?.length ?? 0) !== bytes.length / PAGE_SIZE)
      return `part ${index} has ${bytes.length / PAGE_SIZE} pages, and ${frames[index]?.length ?? 0} frames were named`;
    const base = bases[index] ?? 0n;
    const end = base + BigInt(bytes.length);
    if (base % BigInt(PAGE_SIZE) !== 0n || base < 0n || end > 1n << 64n)
      return `part ${index} at ${hex(base)}`;
    // What leads to the one part would lead into the other: an address is one page's.
    const other = image.parts.findIndex((part, earlier) => {
      const start = bases[earlier] ?? 0n;
      return earlier < index && base < start + BigInt(part.bytes.length) && start < end;
    });
    if (other >= 0) return `part ${index} at ${hex(base)}, where part ${other} lies`;
  }
  // What is relocated to one part would lead into the other.
  const byBase = image.parts
    .map(({ bytes }, index) => ({ index, start: bases[index] ?? 0n, size: BigInt(bytes.length) }))
    .sort((a, b) => (a.start < b.start ? -1 : 1));
  const over = byBase.find(({ start }, at) => {
    const before = byBase[at - 1];
    return before !== undefined && start < before.start + before.size;
  });
  return over === undefined ? undefined : `part ${over.index} at ${hex(over.start)}, over another one`;
}

/**
 * SEAL, once, at the end of boot: the kernel as it lies in memory must be, byte for byte, what the owner makes of the signed file for where it
 * lies and for the states that its sites have. From then on nothing else is executed by the kernel.
 *
 * @param image the kernel's, from whoever gave the owner the file: nothing of it comes from the guest
 * @param states the state of each site, as the guest says; the bytes prove it
 */
export function* seal(
  state: AuthorityState,
  image: CodeImage,
  placement: Placement,
  states: readonly number[],
): Request<number> {
  if (state.sealed) return refused('wrong-time', 'the kernel is sealed already');
  const fault = imageFault(image) ?? placementFault(image, placement) ?? statesFault(state, image, states);
  if (fault !== undefined) return refused('malformed', fault);
  const named = freeFrames(state, placement.frames);
  if (!named.ok) return named;
  const { host } = state;
  const built = buildImage(image, placement.bases, states, () => undefined);
  if (!built.ok) return refused('unresolved', built.why);
  yield 'read';
  // No processor is in the guest from the comparison to the flush: nothing changes between them.
  return host.stopped(() => {
    // Another processor may have asked for the same, and be done.
    if (state.sealed) return refused('wrong-time', 'the kernel is sealed already');
    for (const [index, { kind }] of image.parts.entries()) {
      if (typeOfPart(kind) === 'data') continue;
      const at = firstDifference(state, named.value[index] ?? [], built.parts[index] ?? new Uint8Array());
      if (at >= 0)
        return refused('mismatch', `part ${index}, offset ${hex(at)}: not the byte of the signed file`);
    }
    const id = state.nextId++;
    state.images.set(id, live(id, image, placement, named.value, states, new Set()));
    state.sealed = true;
    host.setOtherRights(RIGHTS.free);
    for (const [index, frames] of named.value.entries()) {
      const type = typeOfPart(image.parts[index]?.kind ?? 'data');
      state.frames.become(frames, 'staged', id);
      state.frames.become(frames, type, id);
      host.setRights(frames, RIGHTS[type]);
    }
    host.flush();
    state.chain.append(`seal ${image.name}`);
    return granted(id);
  });
}

/**
 * SEAL of a kernel that decides parts of its code while it boots. Nothing of what the guest names of its boot is believed: it is judged here, so that no caller
 * can leave that out, and then compared.
 */
export function* sealBooted<Boot>(
  state: AuthorityState,
  kernel: SignedKernel<Boot>,
  boot: Boot,
  placement: Placement,
): Request<number> {
  const { processors } = state.host;
  const [first, ...more] = state.defects['B-A12'] ? [] : kernel.objections(boot, { processors });
  if (first !== undefined)
    return refused('unsafe-boot', more.length === 0 ? first : `${first}, and ${more.length} objections more`);
  const { image, states } = kernel.booted(boot);
  return yield* seal(state, image, placement, states);
}

function statesFault(
  { host, defects }: AuthorityState,
  image: CodeImage,
  states: readonly number[],
): string | undefined {
  if (states.length !== image.sites.length) return `${states.length} states for ${image.sites.length} sites`;
  for (const [index, site] of image.sites.entries()) {
    const value = states[index] ?? -1;
    if (!Number.isInteger(value) || value < 0 || value >= statesOf(site))
      return `site ${index} in state ${value}: expected 0 to ${statesOf(site) - 1}`;
    const lock = lockFault(site, value, host.processors);
    if (lock !== undefined && !defects['B-A12']) return `site ${index}: ${lock}`;
  }
  return undefined;
}

/** What the owner keeps of an image. */
export function live(
  id: number,
  image: CodeImage,
  { bases }: Placement,
  frames: readonly (readonly Pfn[])[],
  states: readonly number[],
  refersTo: ReadonlySet<number>,
): LiveImage {
  return {
    id,
    image,
    bases: [...bases],
    frames: [...frames],
    gone: new Map(),
    states: [...states],
    refersTo,
  };
}

/** The images that the names of an image lead to. */
export function referencesOf(state: AuthorityState, image: CodeImage): Set<number> {
  const names = [
    ...image.relocations.map(({ to }) => to),
    ...image.sites.flatMap(({ targets = [] }) => targets),
  ].filter((to) => typeof to === 'string');
  return new Set(names.flatMap((name) => findExport(state, name)?.id ?? []));
}
