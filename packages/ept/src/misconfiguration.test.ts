import { INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { eptFeatures } from './controls.ts';
import { misconfigurationOf } from './misconfiguration.ts';

const noExecuteOnly = { ...INTEL_VT_RP, ept: { ...eptFeatures(INTEL_VT_RP), executeOnly: false } };
const small = {
  ...INTEL_VT_RP,
  ept: { ...eptFeatures(INTEL_VT_RP), gigabytePages: false, twoMegabytePages: false },
};
const mbec = { modeBasedExecute: true };

describe('an EPT entry is misconfigured', () => {
  it('when it is writable and not readable, at every level, whatever X is', () => {
    for (const level of [1, 2, 3, 4, 5]) {
      expect(misconfigurationOf(0x2n, level, INTEL_VT_RP, {})).toBe('W without R');
      expect(misconfigurationOf(0x406n, level, INTEL_VT_RP, mbec)).toBe('W without R');
    }
  });

  it('when it is only executable and the processor has no execute-only entries', () => {
    const text = 'executable and not readable, which the processor does not support';
    expect(misconfigurationOf(0x4n, 1, noExecuteOnly, {})).toBe(text);
    expect(misconfigurationOf(0x400n, 1, noExecuteOnly, mbec)).toBe(text);
    expect(misconfigurationOf(0x4n, 1, INTEL_HASWELL, {})).toBeUndefined();
    expect(misconfigurationOf(0x400n, 1, INTEL_VT_RP, mbec)).toBeUndefined();
  });

  it('when it has an address bit that the processor lacks', () => {
    for (let bit = 12n; bit < 63n; bit++) {
      const found = misconfigurationOf(0x7n | (1n << bit), 1, INTEL_VT_RP, {});
      expect(found).toBe(bit >= 46n && bit < 52n ? 'an address beyond 46 bits' : undefined);
    }
  });

  it('when it refers to a table and has a memory type, IPAT or a bit 7 that means nothing', () => {
    for (const level of [2, 3, 4, 5]) {
      for (const bit of [3n, 4n, 5n, 6n]) {
        expect(misconfigurationOf(0x7n | (1n << bit), level, INTEL_VT_RP, {})).toMatch('bits 6:3');
      }
    }
    expect(misconfigurationOf(0x87n, 4, INTEL_VT_RP, {})).toBe('reserved bit 7');
    expect(misconfigurationOf(0x87n, 5, INTEL_VT_RP, {})).toBe('reserved bit 7');
    expect(misconfigurationOf(0xb7n, 3, small, {})).toMatch('bits 6:3');
    expect(misconfigurationOf(0x87n, 3, small, {})).toMatch('no pages of this size');
    expect(misconfigurationOf(0x87n, 2, small, {})).toMatch('no pages of this size');
    expect(misconfigurationOf(0x87n, 1, small, {})).toBeUndefined();
  });

  it('when it is a large leaf and its low address bits are not 0, bit 12 included', () => {
    for (let bit = 12n; bit < 46n; bit++) {
      expect(misconfigurationOf(0xb7n | (1n << bit), 2, INTEL_VT_RP, {}) !== undefined).toBe(bit < 21n);
      expect(misconfigurationOf(0xb7n | (1n << bit), 3, INTEL_VT_RP, {}) !== undefined).toBe(bit < 30n);
    }
  });

  it('when it is a leaf with memory type 2, 3 or 7', () => {
    const reserved = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].filter(
      (type) => misconfigurationOf(0x7n | (type << 3n), 1, INTEL_VT_RP, {}) !== undefined,
    );
    expect(reserved).toEqual([2n, 3n, 7n]);
  });

  it('when it is a leaf with paging-write access that is not readable, once the control is on', () => {
    const entry = (1n << 58n) | 0x4n;
    expect(misconfigurationOf(entry, 1, INTEL_VT_RP, {})).toBeUndefined();
    expect(misconfigurationOf(entry, 1, INTEL_VT_RP, { pagingWrite: true })).toBe(
      'paging-write access without R',
    );
  });
});
