import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { KallsymsPlace } from '@heki/symbols';
import type { VirtualMemory } from '@heki/vmcore';

/** Tables of kallsyms with some of a kernel's symbols, to be put where its own are. */
export interface ThinKallsyms {
  readonly start: VirtualAddress;
  readonly bytes: Uint8Array;
  /** Where the tables are now, by the names that VMCOREINFO has for them. */
  readonly places: ReadonlyMap<string, VirtualAddress>;
}

const TOKENS = 256;
const MARKED = 256;
/** More than a token takes. */
const LAST_TOKEN = 64;

/**
 * The tables of a kernel with the symbols of `kept` alone, ascending, in the kernel's own order: the compressed names, the offsets and the
 * tokens are its own, byte for byte; the number of symbols and the markers follow from what is left, and order numbers are left out.
 */
export function thinKallsyms(
  memory: VirtualMemory,
  place: KallsymsPlace,
  kept: readonly number[],
): ThinKallsyms {
  const read = (at: VirtualAddress, length: number): Uint8Array => {
    const bytes = memory.read(at, length);
    if (bytes === undefined) throw new Error(`0x${at.toString(16)} is not in the dump`);
    return bytes;
  };
  const names = read(place.names, Number(place.tokenTable - place.names));
  const offsets = read(place.offsets, 4 * place.count);
  const tokenIndex = read(place.tokenIndex, 2 * TOKENS);
  const last = new DataView(tokenIndex.buffer).getUint16(2 * (TOKENS - 1), true);
  const tokens = read(place.tokenTable, last + LAST_TOKEN);
  const tokenTable = tokens.subarray(0, tokens.indexOf(0, last) + 1);

  const wanted = new Set(kept);
  const keptNames: number[] = [];
  const markers: number[] = [];
  const keptOffsets: number[] = [];
  let at = 0;
  for (let symbol = 0, left = 0; symbol < place.count; symbol++) {
    const first = names[at] ?? 0;
    const size = first < 0x80 ? 1 + first : 2 + (first % 0x80) + 0x80 * (names[at + 1] ?? 0);
    if (wanted.has(symbol)) {
      if (left++ % MARKED === 0) markers.push(...word(keptNames.length));
      keptNames.push(...names.subarray(at, at + size));
      keptOffsets.push(...offsets.subarray(4 * symbol, 4 * symbol + 4));
    }
    at += size;
  }
  const base = place.relativeBase === undefined ? [] : [...read(place.relativeBase, 8)];
  const parts: (readonly [name: string, bytes: ArrayLike<number>])[] = [
    ['kallsyms_num_syms', word(kept.length)],
    ['kallsyms_names', keptNames],
    ['kallsyms_markers', markers],
    ['kallsyms_token_table', tokenTable],
    ['kallsyms_token_index', tokenIndex],
  ];
  const numbers: typeof parts = [
    ['kallsyms_offsets', keptOffsets],
    ['kallsyms_relative_base', base],
  ];
  const isBefore = place.offsets < place.names;
  const ordered = isBefore ? [...numbers, ...parts] : [...parts, ...numbers];
  const start = virtualAddress(isBefore ? place.offsets - (place.offsets % 8n) : place.names - 8n);
  const bytes: number[] = [];
  const places = new Map<string, VirtualAddress>();
  for (const [name, part] of ordered) {
    while (bytes.length % 8 !== 0) bytes.push(0);
    places.set(name, virtualAddress(start + BigInt(bytes.length)));
    for (let index = 0; index < part.length; index++) bytes.push(part[index] ?? 0);
  }
  return { start, bytes: Uint8Array.from(bytes), places };
}

function word(value: number): number[] {
  return [
    value % 256,
    Math.floor(value / 2 ** 8) % 256,
    Math.floor(value / 2 ** 16) % 256,
    Math.floor(value / 2 ** 24),
  ];
}
