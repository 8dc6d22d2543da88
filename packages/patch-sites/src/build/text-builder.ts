import type { ImageAddress, ImageView } from '../image-view.ts';
import { alternativeBytes } from '../read-sites.ts';
import type { BootVector } from './boot-vector.ts';
import type { NopStyle } from './nops.ts';

/** How a version of Linux patches. */
export interface PatchStyle {
  readonly nops: NopStyle;
  /** Replacements are moved whole, and their jumps made short with INT3 behind (Linux 6.5); else a branch at their beginning alone. */
  readonly movesAll: boolean;
  /** What takes the place of ENDBR64. */
  readonly endbrPoison: readonly number[];
}

/** An image whose code is being made. */
export interface TextBuilder {
  readonly vector: BootVector;
  readonly style: PatchStyle;
  /** The image as it is now. */
  readonly image: ImageView;
  readonly symbol: (name: string) => ImageAddress | undefined;
  /** Bytes as they are now, not copied. */
  bytes(at: ImageAddress, length: number): Uint8Array | undefined;
  write(at: ImageAddress, bytes: ArrayLike<number>): void;
}

/** To Linux 6.2 an entry of `.altinstructions` has 12 bytes. */
const OLD: PatchStyle = {
  nops: { longest: 8, jumps: false },
  movesAll: false,
  endbrPoison: [0x66, 0x0f, 0x1f, 0x00],
};
const NEW: PatchStyle = {
  nops: { longest: 11, jumps: true },
  movesAll: true,
  endbrPoison: [0x66, 0x0f, 0x1f, 0x00],
};

/** How the image's version patches, by the size of an entry of `.altinstructions`. */
export function styleOf(image: ImageView): PatchStyle {
  return alternativeBytes(image) === 12 ? OLD : NEW;
}

/** Begins with a copy of `image`. */
export function textBuilder(image: ImageView, vector: BootVector, style: PatchStyle): TextBuilder {
  const copy = image.copy();
  return {
    vector,
    style,
    image: copy,
    symbol: (name) => image.symbols.named(name),
    bytes: (at, length) => copy.bytes(at, length),
    write: (at, bytes) => copy.bytes(at, bytes.length)?.set(bytes),
  };
}
