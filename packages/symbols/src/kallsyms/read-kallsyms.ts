import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { signedOf } from '../signed-address.ts';
import { createSymbolTable, type SymbolTable } from '../symbol-table.ts';
import { expandNames } from './expand-names.ts';
import { kallsymsAddresses, type OffsetBase } from './kallsyms-addresses.ts';
import { type KallsymsPlace, MOST_SYMBOLS, type NamedPlace, TOKENS } from './kallsyms-place.ts';
import { LONGEST_TOKEN, readTokens } from './tokens.ts';

/** Names and markers of the largest kernel that is believed. */
const MOST_NAME_BYTES = 2 ** 25;

/**
 * The symbols at `place`, or why there are not any, in words that follow "kallsyms". Whatever is there, it ends, and takes no more than some
 * 100 MiB.
 */
export function readKallsyms(memory: VirtualMemory, place: KallsymsPlace | NamedPlace): SymbolTable | string {
  const count = 'count' in place ? place.count : read32(memory, place.countAt);
  if (count === undefined) return 'is not in the dump';
  if (count === 0 || count > MOST_SYMBOLS)
    return `would have ${count} symbols: expected 1 to ${MOST_SYMBOLS}`;
  const size = place.tokenTable - place.names;
  if (size < count || size > MOST_NAME_BYTES) return 'has its tables in no order that Linux has';
  const names = memory.read(place.names, Number(size));
  const index = memory.read(place.tokenIndex, 2 * TOKENS);
  const offsets = memory.read(place.offsets, 4 * count);
  if (names === undefined || index === undefined || offsets === undefined) return 'is not in the dump';
  const tokenIndex = new Uint16Array(index.buffer);
  const table = memory.read(place.tokenTable, (tokenIndex[TOKENS - 1] ?? 0) + LONGEST_TOKEN + 1);
  const tokens = table === undefined ? undefined : readTokens(table, tokenIndex);
  if (tokens === undefined) return 'has a damaged table of tokens';
  const base = offsetBase(memory, place);
  if (base === undefined) return 'has no base that its offsets could count from';
  const addresses = kallsymsAddresses(new Int32Array(offsets.buffer), base);
  if (addresses === undefined) return 'has addresses that do not ascend';
  const text = expandNames(names, count, tokens);
  return text instanceof RangeError ? text.message : createSymbolTable(text, addresses);
}

function offsetBase(
  memory: VirtualMemory,
  { offsets, relativeBase }: Pick<KallsymsPlace, 'offsets' | 'relativeBase'>,
): OffsetBase | undefined {
  if (relativeBase === undefined) {
    const placedAt = signedOf(offsets);
    return placedAt === undefined ? undefined : { placedAt };
  }
  const low = read32(memory, relativeBase);
  const high = read32(memory, virtualAddress(relativeBase + 4n));
  if (low === undefined || high === undefined) return undefined;
  const base = signedOf((BigInt(high) << 32n) + BigInt(low));
  return base === undefined ? undefined : { base };
}

function read32(memory: VirtualMemory, at: VirtualAddress): number | undefined {
  const bytes = memory.read(at, 4);
  return bytes === undefined ? undefined : new DataView(bytes.buffer).getUint32(0, true);
}
