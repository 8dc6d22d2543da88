import { INTEL_HASWELL } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, range } from './testing/guest.ts';

const R = 1;
const RW = 3;
const RX = 5;
const IMMUTABLE = 8;

for (const profile of ['rfc-v2', 'hardened'] as const) {
  test(`${profile}: the first store after a protect call maps the page, the second exit injects #PF 0x3`, () => {
    const guest = createGuest({ profile });
    guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
    expect(guest.protect([range(0x200, 0x201, R | IMMUTABLE), range(0x201, 0x400, RW)])).toBe(0);
    // The page tables were zapped too: this access maps them again.
    guest.cpu.load(kernelVa(0x30_0000), 8);
    guest.events.length = 0;
    expect(guest.cpu.store(kernelVa(0x20_0008), 8, 2n)).toMatchObject({
      kind: 'exception',
      vector: 14,
      errorCode: 3,
      cr2: kernelVa(0x20_0008),
    });
    expect(guest.events.map((event) => event.type)).toEqual([
      'ept-violation',
      'mapped',
      'ept-violation',
      'log',
      'denied',
      'injected',
    ]);
    expect(guest.of('log')).toEqual([
      { type: 'log', text: 'heki: Creating write #PF at 0xffff888000200008 GFN=200' },
    ]);
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ kind: 'done', value: 1n });
  });

  test(`${profile}: a fetch from a page without EXEC is #PF 0x11 with MBEC and runs without it`, () => {
    const guest = createGuest({ profile });
    expect(guest.protect([range(0x200, 0x201, RW)])).toBe(0);
    expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
    for (const absent of [{ mbec: false }, { processor: INTEL_HASWELL }]) {
      const weak = createGuest({ profile, ...absent });
      expect(weak.protect([range(0x200, 0x201, RW)])).toBe(0);
      expect(weak.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ kind: 'done' });
      expect(weak.of('protected')[0]?.result.weakened).toHaveLength(1);
      expect(weak.of('range')[0]?.outcome).toBe('weakened');
    }
  });

  test(`${profile}: text may be read and executed and not written`, () => {
    const guest = createGuest({ profile });
    expect(guest.protect([range(0x1000, 0x1200, RX | IMMUTABLE)])).toBe(0);
    expect(guest.cpu.fetch(kernelVa(0x100_0000), 4)).toMatchObject({ kind: 'done' });
    expect(guest.cpu.load(kernelVa(0x100_0000), 8)).toMatchObject({ kind: 'done' });
    expect(guest.cpu.store(kernelVa(0x100_0000), 1, 0xccn)).toMatchObject({ vector: 14, errorCode: 3 });
    expect(guest.vm.leafCounts().pages2M).toBeGreaterThan(0);
  });
}
