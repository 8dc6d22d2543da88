import type { Level } from '../entries/entry.ts';
import { reservedBits } from '../entries/reserved-bits.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';

/** The bits of an entry that must be 0, by 2 x level + (bit 7 set ? 1 : 0), in halves. */
export interface ReservedMasks {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

const withNxe = new WeakMap<CpuProfile, ReservedMasks>();
const withoutNxe = new WeakMap<CpuProfile, ReservedMasks>();

/** The masks under EFER.NXE = `nxe`. Worked out once for each processor: all its walkers share them. */
export function reservedMasks(processor: CpuProfile, nxe: boolean): ReservedMasks {
  const known = nxe ? withNxe : withoutNxe;
  const before = known.get(processor);
  if (before !== undefined) return before;
  const masks = masksOf(processor, nxe);
  known.set(processor, masks);
  return masks;
}

function masksOf(processor: CpuProfile, nxe: boolean): ReservedMasks {
  const masks = { low: new Int32Array(12), high: new Int32Array(12) };
  for (let slot = 2; slot < 12; slot++) {
    const mask = reservedBits((slot >> 1) as Level, (slot & 1) === 1, { ...processor, nxe });
    masks.low[slot] = Number(BigInt.asIntN(32, mask));
    masks.high[slot] = Number(BigInt.asIntN(32, mask >> 32n));
  }
  return masks;
}
