import type { U64 } from '@heki/physical-memory';
import { bitNames, entryFrame, isLeaf, type Level, leafFrame, levelName, pageSizeName } from '@heki/x86';
import { EPT_ENTRY_BITS, EPT_RIGHTS, EptMemoryType } from './entry.ts';

/**
 * An EPT entry as people read it: `0x0000000001a00cb7 EPT PDE, 2 MiB page at 0x1a00000, WB, R W X LARGE XU`. Presence is
 * judged as under MBEC. What an entry that is not present holds besides is the hypervisor's, and is not taken apart.
 */
export function describeEptEntry(level: Level, { low, high }: U64): string {
  const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  const head = `0x${value.toString(16).padStart(16, '0')} EPT ${levelName(level)}`;
  if ((low & EPT_RIGHTS) === 0) return `${head}, not present`;
  // EPT marks leaves and holds frames where ordinary entries do.
  if (!isLeaf(low, level)) {
    return `${head}, table at ${address(entryFrame(low, high))}, ${flags(value, TABLE_FLAGS)}`;
  }
  const type = MEMORY_TYPES[(low >>> 3) & 7] ?? 'reserved memory type';
  const what = `${pageSizeName(level)} page at ${address(leafFrame(low, high, level))}`;
  return `${head}, ${what}, ${type}, ${flags(value, level === 1 ? PTE_FLAGS : LEAF_FLAGS)}`;
}

const LEAF_FLAGS: ReadonlySet<string> = new Set(Object.keys(EPT_ENTRY_BITS));
const PTE_FLAGS: ReadonlySet<string> = new Set([...LEAF_FLAGS].filter((name) => name !== 'LARGE'));
const TABLE_FLAGS: ReadonlySet<string> = new Set(['R', 'W', 'X', 'A', 'XU', 'SVE']);
const MEMORY_TYPES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(EptMemoryType).map(([name, type]) => [type, name]),
);

function flags(value: bigint, meaningful: ReadonlySet<string>): string {
  return bitNames(EPT_ENTRY_BITS, value)
    .filter((name) => meaningful.has(name))
    .join(' ');
}

function address(frame: number): string {
  return `0x${(frame * 4096).toString(16)}`;
}
