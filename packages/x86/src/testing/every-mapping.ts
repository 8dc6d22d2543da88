import { FRAME_END, type Pfn, type PhysicalMemory, VIRTUAL_FRAME_END } from '@heki/physical-memory';
import { isCanonical, type PagingLevels } from '../canonical.ts';
import type { PresencePolicy } from '../mappings/presence-policy.ts';

/** A mapping at one address. */
export interface EveryMapping {
  readonly virtualFrame: number;
  readonly guestFrame: number;
  readonly frames: number;
  readonly level: number;
  /** The leaf entry. */
  readonly entry: bigint;
  readonly writable: boolean;
  readonly user: boolean;
  readonly executeDisable: boolean;
}

/**
 * Every mapping of the virtual frames `start` .. `end` - 1, at every address: goes down each entry, whatever it leads to and how often. What
 * walks must agree with that visit shared tables once.
 */
export function everyMapping(
  memory: PhysicalMemory<Pfn>,
  levels: PagingLevels,
  presence: PresencePolicy,
  start: number,
  end: number,
): EveryMapping[] {
  const found: EveryMapping[] = [];
  const descend = (
    table: number,
    level: 1 | 2 | 3 | 4 | 5,
    before: number,
    path: readonly bigint[],
  ): void => {
    const page = memory.page(table as Pfn);
    const span = 512 ** (level - 1);
    for (let slot = 0; page !== undefined && slot < 512; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & presence.present[level]) === 0) continue;
      const entry = (BigInt(page[2 * slot + 1] ?? 0) << 32n) | BigInt(low);
      // Bits above those that are translated are copies of the highest one.
      const index = before * 512 + slot;
      const upper = index * span >= 512 ** levels / 2;
      const from = index * span + (upper ? VIRTUAL_FRAME_END - 512 ** levels : 0);
      const entries = [...path, entry];
      const leafBits = presence.leaf[level as 2] ?? 0;
      const leaf = level === 1 || (level <= 3 && (low & leafBits) === leafBits);
      if (!leaf) {
        descend(Number((entry >> 12n) & 0xff_ffff_ffffn), (level - 1) as 4, index, entries);
        continue;
      }
      const first = Math.max(from, start);
      const last = Math.min(from + span, end);
      if (first >= last || !isCanonical(first as never, levels)) continue;
      const stored = Number((entry >> 12n) & 0xff_ffff_ffffn);
      const frame = presence.invertedWhenNotPresent && (low & 1) === 0 ? FRAME_END - 1 - stored : stored;
      const all = (bit: bigint): boolean => entries.every((one) => (one & bit) !== 0n);
      found.push({
        virtualFrame: first,
        guestFrame: frame - (frame % span) + first - from,
        frames: last - first,
        level,
        entry,
        writable: all(2n),
        user: all(4n),
        executeDisable: entries.some((one) => one >> 63n === 1n),
      });
    }
  };
  descend(0, levels, 0, []);
  return found;
}
