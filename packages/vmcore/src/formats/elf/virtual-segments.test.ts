import { gfn } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { buildCore } from '../../testing/build-core.ts';
import { readVmcore } from '../../vmcore.ts';

const page = (byte: number) => new Uint8Array(4096).fill(byte);
const NOWHERE = 2n ** 64n - 1n;

describe('/proc/kcore', () => {
  const core = readVmcore(
    buildCore({
      loads: [
        // 32 TiB of vmalloc, of which a file holds nothing.
        { virtualAddress: 0xffff_c900_0000_0000n, address: NOWHERE, bytes: page(1), memorySize: 2n ** 45n },
        { virtualAddress: 0xffff_8880_0000_1000n, address: 0x1000, bytes: page(2) },
        { virtualAddress: 0xffff_ea00_0000_0000n, address: NOWHERE, bytes: page(3) },
      ],
    }),
  );

  it('has the memory that has a physical address, and nothing else', () => {
    expect(core.segments.map(({ start, end }) => ({ start, end }))).toEqual([{ start: 0x1000, end: 0x2000 }]);
    expect(core.memory.page(gfn(1))?.[0]).toBe(0x0202_0202);
    expect(core.memory.page(gfn(0))).toBeUndefined();
  });

  it('is of a kernel that runs, which is said', () => {
    expect(core.warnings.map(({ id }) => id)).toEqual(['running']);
  });
});

describe('a core by virtual address alone', () => {
  const loads = [0x40_0000n, 0x60_0000n].map((virtualAddress) => ({
    virtualAddress,
    address: 0,
    bytes: page(1),
  }));

  it('as that of a program is refused: its pages are not those from address 0 on', () => {
    expect(() => readVmcore(buildCore({ loads }))).toThrow(
      'no PT_LOAD has a physical address: this is the core of a program',
    );
  });

  it('is not one whose PT_LOADs tell of the same memory, or one that has a physical address', () => {
    const twice = loads.map((load) => ({ ...load, virtualAddress: 0n }));
    expect(readVmcore(buildCore({ loads: twice })).memory.page(gfn(0))?.[0]).toBe(0x0101_0101);
    const [first = { address: 0, bytes: page(1) }] = loads;
    expect(readVmcore(buildCore({ loads: [first] })).segments.length).toBe(1);
    const high = { ...first, virtualAddress: 0x1000n, address: 0x1000 };
    expect(readVmcore(buildCore({ loads: [first, high] })).memory.page(gfn(1))?.[0]).toBe(0x0101_0101);
  });
});
