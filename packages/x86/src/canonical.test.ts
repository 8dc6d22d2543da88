import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalFrame, isCanonical, lowerHalfEnd, upperHalfStart } from './canonical.ts';

const frame = fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }).map((value) => Number(value) as VirtualFrame);
const levels = fc.constantFrom(4 as const, 5 as const);

describe('a canonical virtual frame', () => {
  it('is one whose address is the sign extension of its low 48 or 57 bits', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          frame,
          frame.map((f) => canonicalFrame(f, 4)),
        ),
        levels,
        (any, depth) => {
          const address = BigInt(any) << 12n;
          const width = depth === 4 ? 48 : 57;
          const extended = BigInt.asUintN(64, BigInt.asIntN(width, address));
          expect(isCanonical(any, depth)).toBe(address === extended);
          expect(BigInt(canonicalFrame(any, depth)) << 12n).toBe(extended);
        },
      ),
    );
  });

  it('lies below the hole or above it', () => {
    expect(lowerHalfEnd(4) * 4096).toBe(0x8000_0000_0000);
    expect(BigInt(upperHalfStart(4)) << 12n).toBe(0xffff_8000_0000_0000n);
    expect(BigInt(upperHalfStart(5)) << 12n).toBe(0xff00_0000_0000_0000n);
    expect(isCanonical((VIRTUAL_FRAME_END - 1) as VirtualFrame, 5)).toBe(true);
  });
});
