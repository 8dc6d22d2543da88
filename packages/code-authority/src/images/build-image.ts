import type { CodeImage, Place } from './code-image.ts';
import { targetOf, writeSite } from './site-bytes.ts';

/** Where the parts of an image lie, by their index. */
export type Bases = readonly bigint[];

/** The address that a name of another image stands for; `undefined` when no image exports it. */
export type Resolve = (name: string) => bigint | undefined;

/** The pages of an image as they must stand in memory, or why they cannot be made. */
export type BuiltImage =
  | { readonly ok: true; readonly parts: readonly Uint8Array[] }
  | { readonly ok: false; readonly why: string };

/**
 * Makes the bytes of an image for where it lies: relocated, every site in its state. What the guest has in memory is not looked at.
 *
 * @param states the state of each site
 */
export function buildImage(
  image: CodeImage,
  bases: Bases,
  states: readonly number[],
  resolve: Resolve,
): BuiltImage {
  const parts = image.parts.map(({ bytes }) => bytes.slice());
  const views = parts.map(({ buffer }) => new DataView(buffer));
  for (const [index, { at, kind, to, addend }] of image.relocations.entries()) {
    const address = addressOfTarget(bases, to, resolve);
    const view = views[at.part];
    if (address === undefined || view === undefined)
      return { ok: false, why: `relocation ${index}: nothing exports ${String(to)}` };
    const value = address + BigInt(addend);
    if (kind === 'abs64') {
      view.setBigUint64(at.offset, BigInt.asUintN(64, value), true);
      continue;
    }
    const wanted = kind === 'rel32' ? value - placeAddress(bases, at) : value;
    const signed = BigInt.asIntN(64, wanted);
    if (BigInt.asIntN(32, signed) !== signed)
      return { ok: false, why: `relocation ${index}: ${String(to)} is out of reach` };
    view.setInt32(at.offset, Number(signed), true);
  }
  for (const [index, { at }] of image.sites.entries()) {
    const bytes = parts[at.part];
    const state = states[index] ?? 0;
    if (bytes === undefined || !writeState(image, bases, index, state, resolve, bytes, at.offset))
      return { ok: false, why: `site ${index}: state ${state} leads nowhere` };
  }
  return { ok: true, parts };
}

/**
 * Writes the bytes of a site in a state into `bytes`, from `at` on.
 *
 * @returns `false` when its target is not there or out of reach
 */
export function writeState(
  image: CodeImage,
  bases: Bases,
  index: number,
  state: number,
  resolve: Resolve,
  bytes: Uint8Array,
  at: number,
): boolean {
  const site = image.sites[index];
  if (site === undefined) return false;
  const target = site.targets?.[targetOf(site, state)] ?? site.target;
  const distance = target === undefined ? 0 : distanceTo(bases, site.at, target, resolve);
  return distance !== undefined && writeSite(site, state, distance, bytes, at);
}

/** The bytes of a site in a state; `undefined` when its target is not there or out of reach. */
export function stateBytes(
  image: CodeImage,
  bases: Bases,
  index: number,
  state: number,
  resolve: Resolve,
): Uint8Array | undefined {
  const bytes = new Uint8Array(image.sites[index]?.length ?? 0);
  return writeState(image, bases, index, state, resolve, bytes, 0) ? bytes : undefined;
}

/** Bytes from a place to another; within a part, as most are, without the part's address. */
function distanceTo(bases: Bases, from: Place, to: Place | string, resolve: Resolve): number | undefined {
  if (typeof to !== 'string' && to.part === from.part) return to.offset - from.offset;
  const address = addressOfTarget(bases, to, resolve);
  return address === undefined ? undefined : Number(address - placeAddress(bases, from));
}

/** The address of a place. */
export function placeAddress(bases: Bases, { part, offset }: Place): bigint {
  return (bases[part] ?? 0n) + BigInt(offset);
}

function addressOfTarget(bases: Bases, to: Place | string, resolve: Resolve): bigint | undefined {
  return typeof to === 'string' ? resolve(to) : placeAddress(bases, to);
}
