import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import fc from 'fast-check';

/** Table frames 0 to 6 exist; entries may point to frame 7, which does not. */
export const FRAMES = 7;
const INDICES = [0, 1, 510, 511] as const;

/** Entries that lead to tables, loop, are leaves, or are wrong in some way; now and then any 64 bits at all. */
const entry = fc.oneof(
  {
    weight: 40,
    arbitrary: fc
      .record({
        flags: fc.oneof(
          { weight: 15, arbitrary: fc.constantFrom(0x67n, 0x67n, 0x27n, 7n, 0x63n, 3n, 0x65n) },
          { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 0x7fn }) },
        ),
        large: fc.oneof(
          { weight: 8, arbitrary: fc.constant(0n) },
          { weight: 1, arbitrary: fc.constantFrom(0x80n, 0x1080n) },
        ),
        shift: fc.constantFrom(12n, 21n, 30n),
        global: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0n, 0x100n),
        restart: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0n, 0n, 0x800n),
        frame: fc.oneof(
          { weight: 20, arbitrary: fc.bigInt({ min: 0n, max: BigInt(FRAMES - 1) }) },
          { weight: 1, arbitrary: fc.constant(BigInt(FRAMES)) },
          { weight: 3, arbitrary: fc.constantFrom(0x200n, 0x4_0000n, 0x4_0200n) },
          { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 40n - 1n }) },
        ),
        key: fc.bigInt({ min: 0n, max: 15n }),
        high: fc.oneof(
          { weight: 12, arbitrary: fc.constantFrom(0n, 0n, 0n, 1n << 58n) },
          { weight: 1, arbitrary: fc.constantFrom(1n << 63n, 1n << 51n, 1n << 36n) },
        ),
      })
      .map(
        ({ flags, large, shift, global, restart, frame, key, high }) =>
          flags |
          large |
          global |
          restart |
          BigInt.asUintN(52, frame << (large === 0n ? 12n : shift)) |
          (key << 59n) |
          high,
      ),
  },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
);

export const tables: fc.Arbitrary<readonly bigint[]> = fc.array(entry, {
  minLength: FRAMES * INDICES.length,
  maxLength: FRAMES * INDICES.length,
});

const index = fc.constantFrom(...INDICES);
/** A virtual frame whose five indices are among those where {@link tables} have entries; bits above 45 are 0. */
export const tableFrame: fc.Arbitrary<number> = fc
  .tuple(index, index, index, index, index)
  .map((parts) => parts.reduce<number>((frame, part) => frame * 512 + part, 0));

/** Memory with the entries of {@link tables}, and nothing in between. */
export function memoryOf(entries: readonly bigint[]): PhysicalMemory<Pfn> & PhysicalMemory<Gfn> {
  const pages = Array.from({ length: FRAMES }, () => new Uint32Array(1024));
  entries.forEach((value, i) => {
    const word = 2 * (INDICES[i % INDICES.length] ?? 0);
    const page = pages[Math.floor(i / INDICES.length)];
    page?.set([Number(value & 0xffff_ffffn), Number(value >> 32n)], word);
  });
  return { page: (frame: number) => pages[frame], writablePage: (frame: number) => pages[frame] };
}

/** The entries that {@link memoryOf} put down, as halves, as they are now. */
export function bytesOf(memory: PhysicalMemory<Pfn>): number[][] {
  return Array.from({ length: FRAMES }, (_, frame) =>
    INDICES.flatMap((slot) => {
      const page = memory.page(frame as Pfn);
      return [page?.[2 * slot] ?? 0, page?.[2 * slot + 1] ?? 0];
    }),
  );
}
