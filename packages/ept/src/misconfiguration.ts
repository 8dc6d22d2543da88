import type { CpuProfile } from '@heki/x86';
import { type EptControls, eptFeatures } from './controls.ts';

const bit = (entry: bigint, position: number): boolean => ((entry >> BigInt(position)) & 1n) === 1n;
const field = (entry: bigint, high: number, low: number): bigint =>
  (entry >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

/** Whether an entry is present: any of R, W, X, or XU under MBEC (SDM 3C 29.3.2). */
export function isPresent(entry: bigint, controls: EptControls): boolean {
  return field(entry, 2, 0) !== 0n || (controls.modeBasedExecute === true && bit(entry, 10));
}

/** Whether an entry of `level` maps a page: a PTE, or a PDE or PDPTE with bit 7 where the processor has such pages. */
export function isLeaf(entry: bigint, level: number, processor: CpuProfile): boolean {
  if (level === 1) return true;
  if (level === 2) return bit(entry, 7) && eptFeatures(processor).twoMegabytePages;
  return level === 3 && bit(entry, 7) && eptFeatures(processor).gigabytePages;
}

/**
 * What makes a present entry of `level` (1..5) an EPT misconfiguration, in words, or `undefined` when it is well-formed
 * (SDM 3C 29.3.3.1).
 */
export function misconfigurationOf(
  entry: bigint,
  level: number,
  processor: CpuProfile,
  controls: EptControls,
): string | undefined {
  const mbec = controls.modeBasedExecute === true;
  const readable = bit(entry, 0);
  if (!readable && bit(entry, 1)) return 'W without R';
  if (!readable && !eptFeatures(processor).executeOnly && (bit(entry, 2) || (mbec && bit(entry, 10)))) {
    return 'executable and not readable, which the processor does not support';
  }
  const width = processor.maxPhysicalAddressBits;
  if (width < 52 && field(entry, 51, width) !== 0n) return `an address beyond ${width} bits`;
  if (!isLeaf(entry, level, processor)) {
    if (field(entry, 6, 3) !== 0n) return 'reserved bits 6:3 of an entry that refers to a table';
    if (bit(entry, 7)) {
      return level >= 4 ? 'reserved bit 7' : 'bit 7, but the processor has no pages of this size';
    }
    return undefined;
  }
  const type = field(entry, 5, 3);
  if (type === 2n || type === 3n || type === 7n) return `reserved memory type ${type}`;
  if (level === 2 && field(entry, 20, 12) !== 0n) return 'reserved bits 20:12 of a 2 MiB leaf';
  if (level === 3 && field(entry, 29, 12) !== 0n) return 'reserved bits 29:12 of a 1 GiB leaf';
  if (controls.pagingWrite === true && bit(entry, 58) && !readable) return 'paging-write access without R';
  return undefined;
}
