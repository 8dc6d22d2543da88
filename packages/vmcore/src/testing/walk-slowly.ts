import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { InfoTlbLeaf } from '../info-tlb.ts';

/** Every leaf of the upper half under `root`, on 64-bit integers, in the order of virtual addresses. */
export function walkSlowly(memory: PhysicalMemory<Gfn>, root: number, levels: 4 | 5): InfoTlbLeaf[] {
  const leaves: InfoTlbLeaf[] = [];
  const walk = (table: number, level: number, base: bigint): void => {
    const page = memory.page(table as Gfn);
    if (page === undefined) throw new Error(`table at frame ${table} is absent`);
    const span = 1n << BigInt(12 + 9 * (level - 1));
    for (let index = level === levels ? 256 : 0; index < 512; index++) {
      const low = page[index * 2] ?? 0;
      const high = page[index * 2 + 1] ?? 0;
      const entry = (BigInt(high) << 32n) + BigInt(low);
      if (entry % 2n === 0n) continue;
      const virtual = base + BigInt(index) * span;
      const address = entry & 0x000f_ffff_ffff_f000n;
      if (level === 1 || (level <= 3 && (entry & 0x80n) !== 0n)) {
        leaves.push({
          virtualFrame: Number(virtual >> 12n) as InfoTlbLeaf['virtualFrame'],
          guestFrame: Number((address / span) * (span >> 12n)) as Gfn,
          level: level as InfoTlbLeaf['level'],
          low,
          high,
        });
      } else walk(Number(address >> 12n), level - 1, virtual);
    }
  };
  // The bits above those that the root translates repeat its highest one.
  walk(root, levels, levels === 4 ? 0xffff_0000_0000_0000n : 0xfe00_0000_0000_0000n);
  return leaves;
}
