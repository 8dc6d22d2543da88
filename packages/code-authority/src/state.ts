import type { Pfn } from '@heki/physical-memory';
import type { FrameTable } from './frames/frame-table.ts';
import type { AuthorityHost } from './host.ts';
import { placeAddress } from './images/build-image.ts';
import type { CodeImage } from './images/code-image.ts';
import type { PokeChain } from './requests/chain.ts';
import type { AuthorityDefectSwitches } from './weaker/authority-defects.ts';

/** An image that is sealed or loaded. */
export interface LiveImage {
  readonly id: number;
  readonly image: CodeImage;
  /** The address of each part. */
  readonly bases: readonly bigint[];
  /** The host frames of each part, in order; none once it was given back. */
  readonly frames: (readonly Pfn[])[];
  /** The frames that parts had before they were given back: where B-A5 goes on writing. */
  readonly gone: Map<number, readonly Pfn[]>;
  /** The state of each site; -1 for one whose page was given back. */
  readonly states: number[];
  /** Images that it refers to. */
  readonly refersTo: ReadonlySet<number>;
  /** Of a pack of compiled programs, which no other image is: how many slots each takes, by its first. */
  readonly programs?: ReadonlyMap<number, number>;
}

/** `live`, with nothing of it shared that changes. */
export function copyOfImage(live: LiveImage): LiveImage {
  return { ...live, frames: [...live.frames], gone: new Map(live.gone), states: [...live.states] };
}

/** All that the owner keeps. None of it is in memory that a guest can reach. */
export interface AuthorityState {
  readonly host: AuthorityHost;
  readonly defects: AuthorityDefectSwitches;
  /** Reads a signed file; `undefined` when the signature does not count. */
  readonly readImage: (file: Uint8Array) => CodeImage | undefined;
  readonly frames: FrameTable;
  /** By number. Numbers are never used again. */
  readonly images: Map<number, LiveImage>;
  readonly chain: PokeChain;
  sealed: boolean;
  nextId: number;
}

/** The address that a name stands for, and the image that exports it. What lay in init parts is gone with them. */
export function findExport(
  { images, defects }: Pick<AuthorityState, 'images' | 'defects'>,
  name: string,
): { readonly address: bigint; readonly id: number } | undefined {
  let found: ReturnType<typeof findExport>;
  for (const { id, image, bases, frames } of images.values()) {
    const place = image.exports.get(name);
    if (place === undefined || frames[place.part]?.length === 0) continue;
    found = { address: placeAddress(bases, place), id };
    if (!defects['B-A9']) return found;
  }
  return found;
}

/** Whether a range of addresses is free of all images. */
export function addressesAreFree({ images }: AuthorityState, start: bigint, bytes: number): boolean {
  const end = start + BigInt(bytes);
  for (const { image, bases, frames } of images.values()) {
    for (const [index, base] of bases.entries()) {
      const size = BigInt(image.parts[index]?.bytes.length ?? 0);
      if (frames[index]?.length !== 0 && start < base + size && base < end) return false;
    }
  }
  return true;
}
