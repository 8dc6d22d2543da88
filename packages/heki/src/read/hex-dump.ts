import {
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { hex16 } from '../hex.ts';
import type { ImageMemory } from '../image/image-memory.ts';

/** Bytes that follow each other, all of one origin and one kind; without them, what cannot be read. */
export interface Stretch {
  readonly address: VirtualAddress;
  readonly length: number;
  readonly bytes: Uint8Array | undefined;
  /** They are out of the kernel's image, and not out of the guest. */
  readonly isFromImage: boolean;
  /** They are told as instructions. */
  readonly isCode: boolean;
}

const PER_LINE = 16;

/** `length` bytes from `address` on, cut where what can be read meets what cannot, the guest's own the image's, and code data. */
export function readStretches(
  memory: VirtualMemory,
  image: ImageMemory | undefined,
  address: VirtualAddress,
  length: number,
  isCodeAt: (frame: VirtualFrame) => boolean,
): Stretch[] {
  const stretches: Stretch[] = [];
  for (let done = 0; done < length; ) {
    const at = virtualAddress(address + BigInt(done));
    const part = Math.min(length - done, PAGE_SIZE - Number(at % BigInt(PAGE_SIZE)));
    const bytes = memory.read(at, part);
    const isFromImage = bytes !== undefined && (image?.isFromImage(virtualFrameOf(at)) ?? false);
    const isCode = bytes !== undefined && isCodeAt(virtualFrameOf(at));
    const last = stretches.at(-1);
    const isLike =
      last !== undefined &&
      (last.bytes === undefined) === (bytes === undefined) &&
      last.isFromImage === isFromImage &&
      last.isCode === isCode;
    if (isLike) stretches.pop();
    stretches.push(
      isLike
        ? {
            ...last,
            length: last.length + part,
            bytes: last.bytes !== undefined && bytes !== undefined ? joined(last.bytes, bytes) : undefined,
          }
        : { address: at, length: part, bytes, isFromImage, isCode },
    );
    done += part;
  }
  return stretches;
}

/** Lines of 16 bytes: address, hexadecimal, and what prints. */
export function* hexLines(bytes: Uint8Array, address: VirtualAddress): Generator<string> {
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const line = bytes.subarray(at, at + PER_LINE);
    const digits = Array.from(line, byteText);
    const halves = [digits.slice(0, 8).join(' '), digits.slice(8).join(' ')].join('  ');
    const letters = Array.from(line, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('');
    yield `${hex16(address + BigInt(at))}  ${halves.padEnd(48)}  ${letters}`;
  }
}

/** `48 89 e5`. */
export function bytesInHex(bytes: Uint8Array): string {
  return Array.from(bytes, byteText).join(' ');
}

function byteText(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
