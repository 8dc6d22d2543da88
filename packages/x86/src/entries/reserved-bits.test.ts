import { describe, expect, it } from 'vitest';
import { AMD_ZEN4, INTEL_SKYLAKE } from '../registers/cpu-profiles.ts';
import type { Level } from './entry.ts';
import { reservedBits } from './reserved-bits.ts';

const PS = true;

/** What the manuals draw: SDM 3A tables 4-15 to 4-20 for 46 address bits, APM 2 figures 5-19 to 5-27 for 48. */
const DRAWN: readonly (readonly [
  entry: string,
  level: Level,
  pageSize: boolean,
  intel: string,
  amd: string,
])[] = [
  ['a PML5E', 5, false, '51:46 7', '51:48 8 7'],
  ['a PML4E', 4, false, '51:46 7', '51:48 8 7'],
  ['a PDPTE that refers to a table', 3, false, '51:46', '51:48'],
  ['a PDPTE that maps 1 GiB', 3, PS, '51:46 29:13', '51:48 29:13'],
  ['a PDE that refers to a table', 2, false, '51:46', '51:48'],
  ['a PDE that maps 2 MiB', 2, PS, '51:46 20:13', '51:48 20:13'],
  ['a PTE', 1, false, '51:46', '51:48'],
  ['a PTE with PAT', 1, PS, '51:46', '51:48'],
];

/** `51:46 7` as a mask. */
function mask(ranges: string): bigint {
  let bits = 0n;
  for (const range of ranges.split(' ')) {
    const [last, first = last] = range.split(':').map(Number);
    for (let bit = first ?? 0; bit <= (last ?? 0); bit++) bits |= 1n << BigInt(bit);
  }
  return bits;
}

describe('reserved bits', () => {
  it.each(DRAWN)('of %s are those of the manuals', (_entry, level, pageSize, intel, amd) => {
    const skylake = { ...INTEL_SKYLAKE, nxe: true };
    const zen4 = { ...AMD_ZEN4, nxe: true };
    expect(reservedBits(level, pageSize, skylake)).toBe(mask(intel));
    expect(reservedBits(level, pageSize, zen4)).toBe(mask(amd));
    const without = { ...skylake, nxe: false };
    expect(reservedBits(level, pageSize, without)).toBe(mask(intel) | (1n << 63n));
    const small = { ...skylake, gigabytePages: false };
    expect(reservedBits(level, pageSize, small)).toBe(mask(intel) | (level === 3 ? 1n << 7n : 0n));
  });

  it('leave no address bit out when all 52 are addresses', () => {
    expect(reservedBits(1, false, { ...INTEL_SKYLAKE, maxPhysicalAddressBits: 52, nxe: true })).toBe(0n);
  });
});
