import {
  createRam,
  type Gfn,
  type Gpa,
  gfn,
  type Ram,
  readU64,
  type VirtualAddress,
  writeU64,
} from '@heki/physical-memory';
import { entryBits } from '../address-space/address-space.ts';
import type { PagingLevels } from '../canonical.ts';
import { type Level, leafFrame } from '../entries/entry.ts';

/** Flags of an entry as a test writes them: `P RW US A`. `-` for none. */
type Flags = string;

/** One page and the entries that lead to it. */
export interface PicturePath {
  readonly va: bigint;
  readonly leaf: 1 | 2 | 3;
  /** The first byte of the page. */
  readonly page: number;
  /** Flags by level; levels not named have `P RW US A`, and the leaf D besides. PS of a large leaf goes without saying. */
  readonly entries?: Readonly<Partial<Record<Level, Flags>>>;
  /** Bits to set in the entry of a level besides: protection keys, reserved bits. */
  readonly bits?: Readonly<Partial<Record<Level, bigint>>>;
}

/** Page tables drawn by a test. Tables are the frames from 1 on; the root is frame 1. */
export interface TablePicture {
  readonly memory: Ram<Gfn>;
  readonly root: Gfn;
  readonly cr3: bigint;
  readonly levels: PagingLevels;
  /** The guest-physical address of the entry of `level` for `va`. */
  addressOfEntry(level: Level, va: bigint): Gpa;
  entry(level: Level, va: bigint): bigint;
  setEntry(level: Level, va: bigint, value: bigint): void;
}

/** Draws tables. Paths share tables where their addresses do; the flags of the first to need a table count. */
export function drawTables(paths: readonly PicturePath[], levels: PagingLevels = 4): TablePicture {
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(64) }] });
  const root = gfn(1);
  let used = 1;

  const read = (address: Gpa): bigint => {
    const { low, high } = readU64<Gfn>(memory, address) ?? { low: 0, high: 0 };
    return (BigInt(high) << 32n) | BigInt(low);
  };
  const write = (address: Gpa, value: bigint): void => {
    writeU64<Gfn>(memory, address, { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) });
  };
  const addressOfEntry = (level: Level, va: bigint): Gpa => {
    let table: number = root;
    for (let at = levels as Level; ; at = (at - 1) as Level) {
      const address = (table * 4096 + Number((va >> BigInt(12 + 9 * (at - 1))) & 511n) * 8) as Gpa;
      if (at === level) return address;
      const entry = read(address);
      table = leafFrame(Number(entry & 0xffff_ffffn), Number(entry >> 32n), 1);
    }
  };

  for (const { va, leaf, page, entries = {}, bits = {} } of paths) {
    for (let level = levels as Level; level >= leaf; level = (level - 1) as Level) {
      const address = addressOfEntry(level, va);
      if (level !== leaf && read(address) !== 0n) continue;
      const flags = entries[level] ?? (level === leaf ? 'P RW US A D' : 'P RW US A');
      const target = level === leaf ? BigInt(page) : BigInt(++used * 4096);
      const large = level === leaf && level > 1 ? 0x80n : 0n;
      write(address, target | flagBits(flags) | large | (bits[level] ?? 0n));
    }
  }
  return {
    memory,
    root,
    cr3: BigInt(root * 4096),
    levels,
    addressOfEntry,
    entry: (level, va) => read(addressOfEntry(level, va)),
    setEntry: (level, va, value) => write(addressOfEntry(level, va), value),
  };
}

function flagBits(flags: Flags): bigint {
  if (flags === '-') return 0n;
  const { low, high } = entryBits(...(flags.split(' ') as 'P'[]));
  return (BigInt(high) << 32n) | BigInt(low);
}

/** A bigint as a virtual address. */
export function at(va: bigint): VirtualAddress {
  return va as VirtualAddress;
}
