import type { Attacker } from '@heki/machine';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { EntryLow } from '@heki/x86';

/** A table and a leaf of 1 GiB, of EPT with write-back memory (SDM 3C 29.3.2) and of AMD's nested paging. */
const EPT = { table: 0b111n, leaf: 0b1011_0111n, pointer: 0x1en } as const;
const NPT = {
  table: BigInt(EntryLow.P | EntryLow.RW | EntryLow.US),
  leaf: BigInt(EntryLow.P | EntryLow.RW | EntryLow.US | EntryLow.PS),
  pointer: 0n,
} as const;

/**
 * Tables for a guest of the attacker's, which sees the first GiB of memory as it is: stored through the direct map. The EPTP or nCR3 for them.
 */
export function nestedTables(options: {
  readonly cpu: Attacker;
  readonly directMap: (frame: Gfn, offset?: number) => VirtualAddress;
  readonly allocate: () => Gfn;
  readonly amd: boolean;
}): bigint {
  const { cpu, directMap, allocate, amd } = options;
  const { table, leaf, pointer } = amd ? NPT : EPT;
  const [root, second] = [allocate(), allocate()];
  for (const frame of [root, second]) {
    for (let word = 0; word < 512; word++) cpu.store(directMap(frame, 8 * word), 8, 0n);
  }
  cpu.store(directMap(root), 8, (BigInt(second) << 12n) | table);
  cpu.store(directMap(second), 8, leaf);
  return (BigInt(root) << 12n) | pointer;
}
