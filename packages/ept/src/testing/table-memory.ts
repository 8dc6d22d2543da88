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

/** One page mapped at guest-physical address 0: the entries that lead to it, each at index 0 of the table in frame = level. */
export interface Path {
  readonly levels: 4 | 5;
  /** The level of the leaf. */
  readonly leaf: 1 | 2 | 3;
  /** The entry of each level where it differs from {@link pathEntry}. */
  readonly entries?: Readonly<Partial<Record<number, bigint>>> | undefined;
}

/** Where a {@link Path} maps guest-physical address 0. */
export const TARGET = 0x4000_0000n;

/** The entry of `level` in a {@link Path} with the leaf at `leaf`: all rights, write-back. */
export function pathEntry(level: number, leaf: number): bigint {
  if (level > leaf) return (BigInt(level - 1) << 12n) | 0x407n;
  return TARGET | 0x437n | (level > 1 ? 0x80n : 0n);
}

/** Memory with the tables of `path`; the root is frame `path.levels`. */
export function pathMemory(path: Path): TableMemory {
  const memory = createTableMemory(6);
  for (let level: number = path.levels; level >= path.leaf; level--) {
    memory.write(level * 4096, path.entries?.[level] ?? pathEntry(level, path.leaf));
  }
  return memory;
}
