import {
  createRam,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  pfn,
  readU64,
  writeU64,
} from '@heki/physical-memory';

/** Host memory of `frames` frames from frame 0 on, with 64-bit access as a test writes it down. */
export interface TableMemory extends PhysicalMemory<Pfn> {
  read(address: number): bigint;
  write(address: number, value: bigint): void;
}

export function createTableMemory(frames: number): TableMemory {
  const ram = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(frames) }] });
  return {
    page: (frame) => ram.page(frame),
    writablePage: (frame) => ram.writablePage(frame),
    read: (address) => {
      const value = readU64<Pfn>(ram, address as Hpa);
      return value === undefined ? 0n : (BigInt(value.high) << 32n) | BigInt(value.low);
    },
    write: (address, value) => {
      writeU64<Pfn>(ram, address as Hpa, {
        low: Number(value & 0xffff_ffffn),
        high: Number(value >> 32n),
      });
    },
  };
}

/** Where {@link pathMemory} maps guest-physical address 0. */
export const TARGET = 0x4000_0000n;
/** Frame of the root of {@link pathMemory}. */
export const ROOT: Pfn = pfn(4);

/**
 * One page mapped at guest-physical address 0 with P, R/W, U/S and A everywhere: the tables lie in frames 4 to 2 (or
 * as far down as the leaf of this level is), the entries at index 0. `entries` replaces those of some levels.
 */
export function pathMemory(
  leaf: 1 | 2 | 3,
  entries: Readonly<Partial<Record<number, bigint>>> = {},
): TableMemory {
  const memory = createTableMemory(6);
  for (let level = 4; level >= leaf; level--) {
    const usual = level > leaf ? BigInt(level - 1) << 12n : TARGET | (level > 1 ? 0x80n : 0n);
    memory.write(level * 4096, entries[level] ?? usual | 0x27n);
  }
  return memory;
}
