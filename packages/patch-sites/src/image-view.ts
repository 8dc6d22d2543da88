import type { ImageSection, MovedImage } from '@heki/kernel-image';
import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';

/** An address of the last 2 GiB, where kernels' images lie, as the negative number that it is to a signed 64-bit register: exact. */
export type ImageAddress = number;

/** Looks up symbols of the image where it runs. */
export interface ImageSymbols {
  /** The address of the first symbol of this name. */
  named(name: string): ImageAddress | undefined;
  /** Names of the symbols that begin at `address`. */
  at(address: ImageAddress): readonly string[];
  /** Names that begin with `prefix`, with their addresses. */
  withPrefix(prefix: string): Iterable<readonly [name: string, address: ImageAddress]>;
}

/** Bytes `start` to `end`, the end exclusive. */
export interface ImageRange {
  readonly start: ImageAddress;
  readonly end: ImageAddress;
}

/** Memory of the running kernel: bytes, or `undefined` where the dump has none. At most a page is asked for. */
export type ReadLive = (at: ImageAddress, length: number) => Uint8Array | undefined;

/** An image where it runs, by address. */
export interface ImageView {
  readonly symbols: ImageSymbols;
  /** The bytes there, not copied; `undefined` unless all of them are in one segment of the file. */
  bytes(at: ImageAddress, length: number): Uint8Array | undefined;
  /** Where the section `name` lies, or what lies between two symbols where the file has no such section; `undefined` without both. */
  range(name: string, from?: string, to?: string): ImageRange | undefined;
  /** The same image with bytes of its own. */
  copy(): ImageView;
}

/** `image` where it runs, whose symbols `symbols` looks up. */
export function createImageView(image: MovedImage, symbols: ImageSymbols): ImageView {
  return new MovedView(image, symbols);
}

class MovedView implements ImageView {
  readonly symbols: ImageSymbols;
  readonly #segments: readonly { readonly start: ImageAddress; readonly bytes: Uint8Array }[];
  readonly #sections: readonly ImageSection[];

  constructor({ segments, sections }: MovedImage, symbols: ImageSymbols) {
    this.symbols = symbols;
    this.#segments = segments.map(({ address, bytes }) => ({ start: imageAddress(address), bytes }));
    this.#sections = sections;
  }

  copy(): ImageView {
    const segments = this.#segments.map(({ start, bytes }) => ({
      address: imageVirtualAddress(start),
      bytes: bytes.slice(),
      kind: 'text' as const,
    }));
    return new MovedView({ segments, sections: this.#sections }, this.symbols);
  }

  bytes(at: ImageAddress, length: number): Uint8Array | undefined {
    for (const { start, bytes } of this.#segments) {
      if (at >= start && at + length <= start + bytes.length)
        return bytes.subarray(at - start, at - start + length);
    }
    return undefined;
  }

  range(name: string, from?: string, to?: string): ImageRange | undefined {
    const section = this.#sections.find((one) => one.name === name);
    if (section !== undefined && section.size > 0) {
      const start = imageAddress(section.address);
      return { start, end: start + section.size };
    }
    const start = from === undefined ? undefined : this.symbols.named(from);
    const end = to === undefined ? undefined : this.symbols.named(to);
    return start === undefined || end === undefined || end <= start ? undefined : { start, end };
  }
}

/** `address` as a signed number. */
export function imageAddress(address: bigint): ImageAddress {
  return Number(BigInt.asIntN(64, address));
}

/** The address that `at` is a signed number for: the inverse of {@link imageAddress}. */
export function imageVirtualAddress(at: ImageAddress): VirtualAddress {
  return virtualAddress(BigInt.asUintN(64, BigInt(at)));
}
