import { gfn, virtualFrame } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { infoTlbLine } from './info-tlb.ts';

describe('a line of info tlb', () => {
  const leaf = { virtualFrame: virtualFrame(0xffff888000000), guestFrame: gfn(0) };

  it('shows one letter for each flag, from XD to RW', () => {
    const flags = [8, 7, 6, 5, 4, 3, 2, 1].map((bit) =>
      infoTlbLine({ ...leaf, level: 2, low: 1 << bit, high: 0 }).slice(-9),
    );
    expect(flags).toEqual([
      '-G-------',
      '--P------',
      '---D-----',
      '----A----',
      '-----C---',
      '------T--',
      '-------U-',
      '--------W',
    ]);
    expect(infoTlbLine({ ...leaf, level: 3, low: -1, high: 0x80000000 })).toBe(
      'ffff888000000000: 0000000000000000 XGPDACTUW',
    );
  });

  it('does not take PAT of a 4-KiB page for a large leaf', () => {
    expect(infoTlbLine({ ...leaf, level: 1, low: 0x80, high: 0 }).slice(-9)).toBe('---------');
  });

  it('shows addresses up to the highest', () => {
    expect(
      infoTlbLine({
        virtualFrame: virtualFrame(2 ** 52 - 1),
        guestFrame: gfn(2 ** 40 - 1),
        level: 1,
        low: 3,
        high: 0,
      }),
    ).toBe('fffffffffffff000: 000ffffffffff000 --------W');
  });
});
