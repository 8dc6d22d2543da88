import type { Pfn } from '@heki/physical-memory';
import { type CpuProfile, type EptFeatures, INTEL_SKYLAKE, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { decodeEptp, encodeEptp } from './eptp.ts';

const ROOT = 0x1234 as Pfn;
const without = (feature: keyof EptFeatures): CpuProfile => {
  if (INTEL_VT_RP.ept === undefined) throw new TypeError('the processor has EPT');
  return { ...INTEL_VT_RP, ept: { ...INTEL_VT_RP.ept, [feature]: false } };
};

describe('an EPTP', () => {
  it('is for four levels that are written back and keep flags, unless something else is said', () => {
    expect(encodeEptp({ root: ROOT })).toBe(0x123_405en);
    expect(decodeEptp(0x123_405en, INTEL_VT_RP)).toEqual({
      eptp: { memoryType: 6, levels: 4, accessedDirty: true, supervisorShadowStack: false, root: ROOT },
    });
    expect(
      encodeEptp({ root: ROOT, memoryType: 0, levels: 5, accessedDirty: false, supervisorShadowStack: true }),
    ).toBe(0x123_40a0n);
  });

  it.each([
    ['a memory type that is neither UC nor WB', 0x123_405cn, INTEL_VT_RP, 'memory-type'],
    ['three levels', 0x123_4056n, INTEL_VT_RP, 'walk-length'],
    ['six levels', 0x123_406en, INTEL_VT_RP, 'walk-length'],
    ['five levels where there are four', 0x123_4066n, INTEL_SKYLAKE, 'walk-length'],
    ['flags on a processor without', 0x123_405en, without('accessedDirty'), 'accessed-dirty'],
    ['shadow stacks on a processor without', 0x123_40den, without('supervisorShadowStack'), 'reserved-bits'],
    ['bit 8', 0x123_415en, INTEL_VT_RP, 'reserved-bits'],
    ['bit 11', 0x123_485en, INTEL_VT_RP, 'reserved-bits'],
    ['an address beyond MAXPHYADDR', 0x4000_0000_005en, INTEL_VT_RP, 'reserved-bits'],
    ['bit 63', 0x8000_0000_0123_405en, INTEL_VT_RP, 'reserved-bits'],
  ] as const)('fails the checks of VM entry with %s', (_, value, processor, fault) => {
    expect(decodeEptp(value, processor)).toEqual({ fault });
  });

  it('passes them with what the processor has', () => {
    for (const [value, processor] of [
      [0x123_401en, without('accessedDirty')],
      [0x123_4066n, INTEL_VT_RP],
      [0x123_40den, INTEL_VT_RP],
      [0x3fff_ffff_f058n, INTEL_VT_RP],
    ] as const) {
      const decoded = decodeEptp(value, processor);
      expect(decoded.fault).toBeUndefined();
      if (decoded.fault === undefined) expect(encodeEptp(decoded.eptp)).toBe(value);
    }
  });
});
