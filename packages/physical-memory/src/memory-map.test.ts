import { describe, expect, it } from 'vitest';
import { type Gfn, gfn } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { createMemoryMap } from './memory-map.ts';

describe('memory map', () => {
  const map = createMemoryMap<Gfn>([
    { start: gfn(0x100), end: gfn(0xffe0), type: 'ram' },
    { start: gfn(1), end: gfn(0x9f), type: 'ram' },
    { start: gfn(0x9f), end: gfn(0x100), type: 'reserved' },
    { start: gfn(0x10_0000), end: gfn(0x10_0010), type: 'acpi' },
  ]);

  it('knows RAM from everything else', () => {
    const ram = [0, 1, 0x9e, 0x9f, 0xff, 0x100, 0xffdf, 0xffe0, 0x10_0000].filter((frame) =>
      map.isRam(gfn(frame)),
    );
    expect(ram).toEqual([1, 0x9e, 0x100, 0xffdf]);
    expect(map.ramFrames).toBe(0x9e + 0xfee0);
  });

  it('ends RAM behind the last RAM entry, not behind the last entry', () => {
    expect(map.ramEnd).toBe(0xffe0);
    expect(createMemoryMap<Gfn>([]).ramEnd).toBe(0);
  });

  it('lists its entries from the lowest to the highest and finds the one of a frame', () => {
    expect([...map].map(({ type }) => type)).toEqual(['ram', 'reserved', 'ram', 'acpi']);
    expect(map.entries).toEqual([...map]);
    expect(map.entryAt(gfn(0xa0))?.type).toBe('reserved');
    expect(map.entryAt(gfn(0xffe0))).toBeUndefined();
  });

  it('refuses entries that overlap', () => {
    expect(() =>
      createMemoryMap<Gfn>([
        { start: gfn(0), end: gfn(8), type: 'ram' },
        { start: gfn(7), end: gfn(9), type: 'reserved' },
      ]),
    ).toThrow(PhysicalMemoryError);
  });
});
