import { PhysicalMemoryError } from './error.ts';
import { hex } from './hex.ts';

/**
 * Addresses and frame numbers, each kind a type of its own, so that a guest-physical address never stands
 * where a host-physical one is meant.
 *
 * x86 physical addresses have at most 52 bits (SDM 3A 4.1.4), so a `number` holds them and their frame
 * numbers exactly. A virtual address needs 64 bits and is a `bigint`; its frame number (address >> 12) is
 * below 2^52 and is what hot paths take, together with an offset below 4,096.
 *
 * The kinds are told apart by a property that exists for the type checker only. It has a name and is no symbol of its own, so that
 * the types of two copies of this package, as a registry may install them, are the same types.
 *
 * JavaScript's bit operators cut their operands to 32 bits: use the helpers here, never `>>`, `&` or `|`, on an
 * address or a frame number.
 */

/** A guest-physical address: 0 .. 2^52 - 1. */
export type Gpa = number & { readonly '@heki/unit': 'guest-physical address' };
/** A host-physical address: 0 .. 2^52 - 1. */
export type Hpa = number & { readonly '@heki/unit': 'host-physical address' };
/** A guest frame number (guest-physical address >> 12): 0 .. 2^40 - 1. */
export type Gfn = number & { readonly '@heki/unit': 'guest frame number' };
/** A host page frame number (host-physical address >> 12): 0 .. 2^40 - 1. */
export type Pfn = number & { readonly '@heki/unit': 'host page frame number' };
/** A linear (virtual) address: 0 .. 2^64 - 1, not necessarily canonical. */
export type VirtualAddress = bigint & { readonly '@heki/unit': 'virtual address' };
/** A virtual frame number (virtual address >> 12): 0 .. 2^52 - 1. */
export type VirtualFrame = number & { readonly '@heki/unit': 'virtual frame number' };

/** A physical frame number of either side. */
export type FrameNumber = Gfn | Pfn;
/** The addresses that belong to a kind of frame number. */
export type AddressOf<Frame extends FrameNumber> = Frame extends Gfn ? Gpa : Hpa;

/** log2 of {@link PAGE_SIZE}. */
export const PAGE_SHIFT = 12;
/** Bytes in a page. */
export const PAGE_SIZE = 4096;
/** 32-bit words in a page. */
export const PAGE_WORDS = 1024;
/** One past the highest physical address (52 bits, SDM 3A 4.1.4). */
export const PHYSICAL_ADDRESS_END = 2 ** 52;
/** One past the highest physical frame number. */
export const FRAME_END = 2 ** 40;
/** One past the highest virtual frame number. */
export const VIRTUAL_FRAME_END = 2 ** 52;

/** A value that nothing but JavaScript without types can pass keeps its own look. */
function shown(value: unknown): string {
  return typeof value === 'number' || typeof value === 'bigint'
    ? hex(value)
    : (JSON.stringify(value) ?? String(value));
}

function checked(value: number, end: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0 || value >= end) {
    throw new PhysicalMemoryError(
      `${shown(value)} is not a ${what}: expected an integer from 0 to ${hex(end - 1)}`,
    );
  }
  return value;
}

/** `value` as a guest-physical address. @throws {PhysicalMemoryError} unless an integer in 0 .. 2^52 - 1 */
export function gpa(value: number): Gpa {
  return checked(value, PHYSICAL_ADDRESS_END, 'guest-physical address') as Gpa;
}

/** `value` as a host-physical address. @throws {PhysicalMemoryError} unless an integer in 0 .. 2^52 - 1 */
export function hpa(value: number): Hpa {
  return checked(value, PHYSICAL_ADDRESS_END, 'host-physical address') as Hpa;
}

/** `value` as a guest frame number. @throws {PhysicalMemoryError} unless an integer in 0 .. 2^40 - 1 */
export function gfn(value: number): Gfn {
  return checked(value, FRAME_END, 'guest frame number') as Gfn;
}

/** `value` as a host page frame number. @throws {PhysicalMemoryError} unless an integer in 0 .. 2^40 - 1 */
export function pfn(value: number): Pfn {
  return checked(value, FRAME_END, 'host page frame number') as Pfn;
}

/** `value` as a virtual frame number. @throws {PhysicalMemoryError} unless an integer in 0 .. 2^52 - 1 */
export function virtualFrame(value: number): VirtualFrame {
  return checked(value, VIRTUAL_FRAME_END, 'virtual frame number') as VirtualFrame;
}

/** `value` as a virtual address. @throws {PhysicalMemoryError} unless in 0 .. 2^64 - 1 */
export function virtualAddress(value: bigint): VirtualAddress {
  if (typeof value !== 'bigint' || value < 0n || value >= 1n << 64n) {
    throw new PhysicalMemoryError(
      `${shown(value)} is not a virtual address: expected a bigint from 0 to 0xffffffffffffffff`,
    );
  }
  return value as VirtualAddress;
}

/** The frame that an address lies in. */
export function frameOf(address: Gpa): Gfn;
export function frameOf(address: Hpa): Pfn;
export function frameOf<Frame extends FrameNumber>(address: AddressOf<Frame>): Frame;
export function frameOf(address: number): number {
  return Math.floor(address / PAGE_SIZE);
}

/** The first address of a frame. */
export function addressOf(frame: Gfn): Gpa;
export function addressOf(frame: Pfn): Hpa;
export function addressOf<Frame extends FrameNumber>(frame: Frame): AddressOf<Frame>;
export function addressOf(frame: number): number {
  return frame * PAGE_SIZE;
}

/** The offset of a physical address in its page: 0 .. 4095. */
export function pageOffset(address: Gpa | Hpa): number {
  return address % PAGE_SIZE;
}

/** The virtual frame that a virtual address lies in. */
export function virtualFrameOf(address: VirtualAddress): VirtualFrame {
  return Number(address >> 12n) as VirtualFrame;
}

/** The first virtual address of a virtual frame. */
export function virtualAddressOf(frame: VirtualFrame): VirtualAddress {
  return (BigInt(frame) << 12n) as VirtualAddress;
}
