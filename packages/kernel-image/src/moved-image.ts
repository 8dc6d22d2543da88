import { virtualAddress } from '@heki/physical-memory';
import { KernelImageError } from './error.ts';
import type { ImageSection, ImageSegment, Vmlinux } from './vmlinux.ts';

/** The bytes of an image where a kernel runs: moved, and with the addresses in them changed, as the kernel does it itself (handle_relocations). */
export interface MovedImage {
  readonly segments: readonly ImageSegment[];
  readonly sections: readonly ImageSection[];
}

/** The segment that has all of the `length` bytes from `address` on; `undefined` when none does. */
export function segmentAt(
  { segments }: Pick<MovedImage, 'segments'>,
  address: bigint,
  length: number = 1,
): ImageSegment | undefined {
  return segments.find(
    (one) => one.address <= address && address + BigInt(length) <= one.address + BigInt(one.bytes.length),
  );
}

/** As signed numbers, the last 2 GiB are exact in 32 bits. */
const signed = (address: bigint): number => Number(BigInt.asIntN(64, address));

/**
 * `image` moved by `offset` bytes.
 *
 * @throws {KernelImageError} when it has to be moved, and the file does not say what changes; or when that is outside of it
 */
export function moveImage({ segments, sections, relocations }: Vmlinux, offset: number): MovedImage {
  if (offset !== 0 && relocations === undefined) {
    throw new KernelImageError(
      'the file has no table of relocations, and KASLR moved the kernel: expected a bzImage, a vmlinux that was extracted from one, or one with its .rela sections and symbols, which a Debian package is not looked through for',
    );
  }
  const runs = (address: bigint) => virtualAddress(BigInt.asUintN(64, address + BigInt(offset)));
  const moved = segments.map(({ address, bytes, kind }) => ({
    kind,
    address: runs(address),
    linked: signed(address),
    bytes: bytes.slice(),
    view: new DataView(new ArrayBuffer(0)),
  }));
  for (const segment of moved) segment.view = new DataView(segment.bytes.buffer);
  const placeOf = (place: number, size: number) => {
    const segment = moved.find(
      ({ linked, bytes }) => linked <= place && place + size <= linked + bytes.length,
    );
    if (segment === undefined) {
      throw new KernelImageError(
        `a relocation at 0x${(place + 2 ** 32).toString(16)} is outside of the image`,
      );
    }
    return { view: segment.view, at: place - segment.linked };
  };
  if (offset !== 0 && relocations !== undefined) {
    for (const place of relocations.words) {
      const { view, at } = placeOf(place, 8);
      view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(offset), true);
    }
    for (const place of relocations.halves) {
      const { view, at } = placeOf(place, 4);
      view.setUint32(at, view.getUint32(at, true) + offset, true);
    }
    for (const place of relocations.inverse) {
      const { view, at } = placeOf(place, 4);
      view.setUint32(at, view.getUint32(at, true) - offset, true);
    }
  }
  return {
    segments: moved.map(({ address, bytes, kind }) => ({ address, bytes, kind })),
    sections: sections.map((section) => ({ ...section, address: runs(section.address) })),
  };
}
