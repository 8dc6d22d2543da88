import {
  createMemoryMap,
  createRam,
  type Gfn,
  gfn,
  type MemoryMap,
  type MemoryType,
  type Pfn,
} from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MachineError } from './error.ts';
import { layOutHost, machineMemory, memorySlots, placeAddedMemory } from './layout.ts';

function mapOf(...entries: [start: number, end: number, type: MemoryType][]): MemoryMap<Gfn> {
  return createMemoryMap(entries.map(([start, end, type]) => ({ start: gfn(start), end: gfn(end), type })));
}

/** Any memory map with some RAM. */
const anyMap = fc
  .array(
    fc.tuple(fc.integer({ min: 1, max: 0x8_0000 }), fc.constantFrom<MemoryType[]>('ram', 'reserved', 'acpi')),
    { minLength: 1, maxLength: 12 },
  )
  .map((parts) => {
    let at = 0;
    const entries = parts.map(([length, type], index): [number, number, MemoryType] => {
      const start = at + (index % 3) * 0x1000;
      at = start + length;
      return [start, at, index === 0 ? 'ram' : type];
    });
    return mapOf(...entries);
  });

describe('the memory of a machine', () => {
  test('is the RAM of the map and the whole first mebibyte, joined', () => {
    const map = mapOf(
      [0, 1, 'reserved'],
      [1, 0x9f, 'ram'],
      [0x9f, 0xa0, 'reserved'],
      [0x100, 0xffe0, 'ram'],
      [0xffe0, 0x1_0000, 'reserved'],
      [0x10_0000, 0x14_0000, 'ram'],
    );
    expect(machineMemory(map)).toEqual([
      { start: 0, end: 0xffe0 },
      { start: 0x10_0000, end: 0x14_0000 },
    ]);
  });

  test('contains exactly the frames that are RAM or below 1 MiB', () => {
    fc.assert(
      fc.property(
        anyMap,
        fc.array(fc.integer({ min: 0, max: 0x60_0000 }), { maxLength: 50 }),
        (map, frames) => {
          const memory = machineMemory(map);
          const edges = map.entries.flatMap(({ start, end }) => [start - 1, start, end - 1, end]);
          for (const frame of [...frames, ...edges]) {
            if (frame < 0) continue;
            const inside = memory.some(({ start, end }) => frame >= start && frame < end);
            expect(inside).toBe(frame < 0x100 || map.isRam(frame as Gfn));
          }
        },
      ),
    );
  });
});

describe('RAM that is added', () => {
  test('lies above 4 GiB, where devices cannot be', () => {
    expect(placeAddedMemory(mapOf([0, 0x1_0000, 'ram']), 0x1000)).toEqual({
      start: 0x10_0000,
      end: 0x10_1000,
    });
  });

  test('lies above all RAM, and in nothing that the map names', () => {
    fc.assert(
      fc.property(anyMap, fc.integer({ min: 1, max: 0x4000 }), (map, frames) => {
        const { start, end } = placeAddedMemory(map, frames);
        expect(end - start).toBe(frames);
        expect(start).toBeGreaterThanOrEqual(map.ramEnd);
        expect(map.entries.filter((entry) => entry.start < end && entry.end > start)).toEqual([]);
      }),
    );
  });

  test('must fit below what the processor can address', () => {
    const map = mapOf([0, 0x3f_f000, 'ram'], [0x3f_f000, 0x40_0000, 'reserved']);
    expect(() => placeAddedMemory(map, 0x1000, 0x40_0000)).toThrow(MachineError);
    expect(placeAddedMemory(map, 0x1000, 0x40_1000)).toEqual({ start: 0x40_0000, end: 0x40_1000 });
  });
});

describe('the host of a machine', () => {
  test('shows guest memory behind its host frames, and the tables of the hypervisor nowhere in it', () => {
    const range = { start: gfn(0x100), end: gfn(0x200) };
    const memory = createRam({ ranges: [range] });
    const host = layOutHost([{ ...range, memory }]);
    const page = host.memory.writablePage(host.backing(gfn(0x1ff)));
    if (page !== undefined) page[5] = 0xcafe;
    expect(memory.page(gfn(0x1ff))?.[5]).toBe(0xcafe);
    expect(host.memory.page(host.backing(gfn(0x200)))).toBeUndefined();
    expect(host.backing(gfn(0))).toBeGreaterThanOrEqual(host.tables.end);
    expect(host.memory.writablePage((host.tables.end - 1) as Pfn)).toBeDefined();
  });

  test('keeps the alignment of guest memory up to 1 GiB', () => {
    expect(layOutHost([]).backing(gfn(0)) % 2 ** 18).toBe(0);
  });
});

describe('the slots of a virtual machine', () => {
  const FOUR_TIB = 2 ** 30;

  test('are its ranges of memory, cut at multiples of 4 TiB', () => {
    const ranges = [
      { start: gfn(0), end: gfn(0x100) },
      { start: gfn(0x200), end: gfn(2 * FOUR_TIB + 5) },
    ];
    expect(memorySlots(ranges)).toEqual([
      ranges[0],
      { start: 0x200, end: FOUR_TIB },
      { start: FOUR_TIB, end: 2 * FOUR_TIB },
      { start: 2 * FOUR_TIB, end: 2 * FOUR_TIB + 5 },
    ]);
  });

  test('are not more than KVM has', () => {
    const ranges = Array.from({ length: 32_765 }, (_, at) => ({ start: gfn(2 * at), end: gfn(2 * at + 1) }));
    expect(memorySlots(ranges.slice(1))).toHaveLength(32_764);
    expect(() => memorySlots(ranges)).toThrow(MachineError);
    expect(() => memorySlots(ranges)).toThrow('has 32765 separate ranges of RAM: expected at most 32764');
  });
});
