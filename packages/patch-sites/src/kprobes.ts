import type { VirtualAddress } from '@heki/physical-memory';
import { imageAddress } from './image-view.ts';
import type { PatchSite } from './patch-site.ts';

/** `kprobe_table` has so many lists (KPROBE_TABLE_SIZE). */
const BUCKETS = 64;
/** struct kprobe begins with its node of that list, has another list and a counter, and then the address. */
const ADDRESS_AT = 40;
/** Lists in a circle end. */
const MOST_PROBES = 65_536;
/** What an optimised probe replaces, at least. */
const JUMP_BYTES = 5;

/**
 * The probes that are registered in a running kernel. They are its own data: whoever may write these can add some.
 *
 * @param read memory by virtual address
 * @param table where `kprobe_table` is
 */
export function readKprobes(
  read: (address: VirtualAddress, length: number) => Uint8Array | undefined,
  table: VirtualAddress,
): PatchSite[] {
  const pointer = (address: bigint): bigint => {
    const bytes = read(address as VirtualAddress, 8);
    return bytes === undefined ? 0n : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  };
  const probes: PatchSite[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    let node = pointer(table + BigInt(bucket * 8));
    while (node >= 1n << 63n && node < (1n << 64n) - 4096n && probes.length < MOST_PROBES) {
      const at = imageAddress(pointer(node + BigInt(ADDRESS_AT)));
      probes.push({ kind: 'kprobe', at, size: JUMP_BYTES });
      node = pointer(node);
    }
  }
  return probes;
}
