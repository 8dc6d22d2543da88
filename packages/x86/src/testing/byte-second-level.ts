import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '../second-level.ts';

/** A second level of four levels of tables in memory, 4-KiB leaves, no rights: the bare cost of reading four entries. */
export class ByteSecondLevel implements SecondLevel<undefined> {
  readonly fault = undefined;
  readonly level = 1;
  readonly rights = 0x7f;
  readonly #memory: PhysicalMemory<Pfn>;
  readonly #root: number;

  constructor(memory: PhysicalMemory<Pfn>, root: number) {
    this.#memory = memory;
    this.#root = root;
  }

  translate(gfn: Gfn): Pfn | typeof REFUSED {
    const upper = Math.floor(gfn / 2 ** 27);
    const lower = gfn - upper * 2 ** 27;
    let table = this.#root;
    for (let shift = 27; shift >= 0; shift -= 9) {
      const word = 2 * ((shift === 27 ? upper : lower >>> shift) & 511);
      const page = this.#memory.page(table as Pfn);
      const low = page?.[word] ?? 0;
      if ((low & 1) === 0) return REFUSED;
      table = (low >>> 12) + ((page?.[word + 1] ?? 0) & 0xf_ffff) * 2 ** 20;
    }
    return table as Pfn;
  }
}
