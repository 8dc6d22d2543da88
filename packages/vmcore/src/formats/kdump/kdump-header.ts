import { PAGE_SIZE, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { type ByteSource, readFields } from '../../byte-source.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import type { NotesPlace } from '../../note.ts';

/** Where fields of `struct disk_dump_header` are (makedumpfile, diskdump_mod.h), on x86-64. */
const VERSION_AT = 8;
/** `utsname.machine`, the fifth of six texts of 65 bytes. */
const MACHINE_AT = 12 + 4 * 65;
const STATUS_AT = 424;
const BLOCK_SIZE_AT = 428;
const SUB_HEADER_BLOCKS_AT = 432;
const BITMAP_BLOCKS_AT = 436;
const MAX_MAPNR_AT = 440;
const HEADER_SIZE = 464;
/** Of `struct kdump_sub_header`, whose later fields came with later versions. */
const SUB_HEADER_SIZE = 104;

/** The version that has `what` of the sub-header. */
const SINCE = { split: 2, vmcoreinfo: 3, notes: 4, wideFrames: 6 } as const;
/** `utsname` and `timestamp`, which all parts of a dump that was split have in common. */
const IDENTITY_AT = 12;
/** Bit of `status`: the disk was full, or the tool was stopped. */
const INCOMPLETE = 8;

/** What the headers of a kdump say. */
export interface KdumpHeader {
  /** How pages are packed, for people's eyes: each page says it for itself. */
  readonly status: number;
  readonly incomplete: boolean;
  /** Frames in the whole dump. */
  readonly frames: number;
  /** The frames of this file, where the dump was split. */
  readonly part: { readonly start: number; readonly end: number } | undefined;
  /** Whose memory it is, and of when: the same in all parts of a dump. */
  readonly identity: string;
  /** The bitmap of the pages that the dump holds. */
  readonly bitmap: { readonly offset: number; readonly length: number };
  /** Where the descriptors of pages begin. */
  readonly descriptors: number;
  readonly notes: NotesPlace | undefined;
  readonly vmcoreinfo: NotesPlace | undefined;
}

/** The headers of a kdump-compressed file. @throws {VmcoreError} when they are damaged, or of another machine */
export function readKdumpHeader(source: ByteSource): KdumpHeader {
  const header = readFields(source, 0, HEADER_SIZE);
  const machine = textAt(header, MACHINE_AT);
  if (machine !== '' && machine !== 'x86_64') {
    throw new VmcoreError(`a kdump of a machine "${machine}": expected x86_64`, { offset: MACHINE_AT });
  }
  const version = header.getInt32(VERSION_AT, true);
  if (version < 1)
    throw new VmcoreError(`kdump header of version ${version}: expected 1 to 6`, { offset: VERSION_AT });
  const blockSize = header.getUint32(BLOCK_SIZE_AT, true);
  if (blockSize !== PAGE_SIZE) {
    throw new VmcoreError(`block_size is ${blockSize}: expected ${PAGE_SIZE}, the size of a page`, {
      offset: BLOCK_SIZE_AT,
    });
  }
  const status = header.getUint32(STATUS_AT, true);
  const subHeaderBlocks = header.getUint32(SUB_HEADER_BLOCKS_AT, true);
  const bitmapBlocks = header.getUint32(BITMAP_BLOCKS_AT, true);
  const sub = readFields(source, PAGE_SIZE, SUB_HEADER_SIZE);
  const wide = (at: number, what: string): number => {
    const value = sub.getBigUint64(at, true);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw new VmcoreError(`${what} is 0x${value.toString(16)}: expected at most 2^53`, {
      offset: PAGE_SIZE + at,
    });
  };
  const has = (what: keyof typeof SINCE): boolean => version >= SINCE[what];

  const frames = has('wideFrames') ? wide(96, 'max_mapnr_64') : header.getUint32(MAX_MAPNR_AT, true);
  // Two bitmaps, one after the other: of the pages that there are, and of those that the dump holds.
  const length = (bitmapBlocks * PAGE_SIZE) / 2;
  const offset = (1 + subHeaderBlocks) * PAGE_SIZE + length;
  if (length > DUMP_LIMITS.bitmapBytes) {
    throw new VmcoreError(`a bitmap of ${length} bytes: expected at most ${DUMP_LIMITS.bitmapBytes}`, {
      offset: BITMAP_BLOCKS_AT,
    });
  }
  if (length * 8 < frames || frames * PAGE_SIZE > PHYSICAL_ADDRESS_END) {
    throw new VmcoreError(
      `bitmap_blocks is ${bitmapBlocks}, but the dump is of ${frames} pages: expected two bits for each`,
      { offset: BITMAP_BLOCKS_AT },
    );
  }
  const split = has('split') && sub.getInt32(12, true) !== 0;
  const start = has('wideFrames') ? 80 : 16;
  const place = (at: number, what: string): NotesPlace | undefined => {
    const fileOffset = wide(at, `offset_${what}`);
    const fileSize = wide(at + 8, `size_${what}`);
    return fileOffset === 0 || fileSize === 0 ? undefined : { fileOffset, fileSize, saidAt: PAGE_SIZE + at };
  };
  return {
    status,
    incomplete: (status & INCOMPLETE) !== 0,
    frames,
    part: split ? { start: wide(start, 'start_pfn'), end: wide(start + 8, 'end_pfn') } : undefined,
    identity: String.fromCharCode(...new Uint8Array(header.buffer, IDENTITY_AT, STATUS_AT - IDENTITY_AT)),
    bitmap: { offset, length },
    descriptors: offset + length,
    notes: has('notes') ? place(48, 'note') : undefined,
    vmcoreinfo: has('vmcoreinfo') ? place(32, 'vmcoreinfo') : undefined,
  };
}

function textAt(view: DataView, offset: number): string {
  const bytes = new Uint8Array(view.buffer, offset, 65);
  const text = String.fromCharCode(...bytes.subarray(0, Math.max(0, bytes.indexOf(0))));
  return /^[\w.-]*$/.test(text) ? text : '?';
}
