import { createRam, type Gfn, type PhysicalMemory, type VirtualFrame } from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';

/** What a leaf lets the kernel do. */
export type Letters = 'r--' | 'r-x' | 'rw-' | 'rwx';

const LEAF_SIZE = { '4K': 1, '2M': 512, '1G': 512 * 512 } as const;
const LEAF_LEVEL = { '4K': 1, '2M': 2, '1G': 3 } as const;

/** Page tables of a kernel half in memory of their own: what a test says about mappings becomes bytes. */
export class GuestTables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
  #next: number;

  /** @param start the frame from which on tables are laid, behind all memory that they map */
  constructor(options: { readonly levels?: PagingLevels; readonly start: number }) {
    const { levels = 4, start } = options;
    this.levels = levels;
    this.memory = createRam({ ranges: [{ start: start as Gfn, end: (start + 2 ** 21) as Gfn }] });
    this.root = start as Gfn;
    this.#next = start + 1;
  }

  /** The table that was added last. */
  get newestTable(): Gfn {
    return (this.#next - 1) as Gfn;
  }

  /** Maps `count` leaves of `size` from virtual frame `at` on to the frames from `frame` on; more low `bits` for all. */
  map(
    at: number,
    frame: number,
    count: number,
    size: keyof typeof LEAF_SIZE,
    rights: Letters,
    bits = 1,
  ): void {
    const frames = LEAF_SIZE[size];
    for (let index = 0; index < count; index++) {
      const leaf = frame + index * frames;
      const word = this.#slot(at + index * frames, LEAF_LEVEL[size]);
      const large = size === '4K' ? 0 : 0x80;
      word.page[word.at] = (leaf % 2 ** 20) * 4096 + large + bits + (rights[1] === 'w' ? 2 : 0);
      word.page[word.at + 1] = Math.floor(leaf / 2 ** 20) + (rights[2] === 'x' ? 0 : 0x8000_0000);
    }
  }

  /** Takes the entries of `count` leaves of `size` from virtual frame `at` on away. */
  unmap(at: number, count: number, size: keyof typeof LEAF_SIZE): void {
    for (let index = 0; index < count; index++) {
      const word = this.#slot(at + index * LEAF_SIZE[size], LEAF_LEVEL[size]);
      word.page.fill(0, word.at, word.at + 2);
    }
  }

  /** Makes the entry of `level` at `to` lead to the table, or be the leaf, that the one at `from` does. */
  share(from: number, to: number, level: number): void {
    const source = this.#slot(from, level);
    const target = this.#slot(to, level);
    target.page.set(source.page.subarray(source.at, source.at + 2), target.at);
  }

  #slot(virtualFrame: number, level: number): { readonly page: Uint32Array; readonly at: number } {
    let page = this.#page(this.root);
    for (let above: number = this.levels; above > level; above--) {
      const at = 2 * (Math.floor(virtualFrame / 512 ** (above - 1)) % 512);
      if (page[at] === 0) {
        page[at] = (this.#next % 2 ** 20) * 4096 + 0x67;
        page[at + 1] = Math.floor(this.#next / 2 ** 20);
        this.#next++;
      }
      const table = Math.floor((page[at] ?? 0) / 4096) + (page[at + 1] ?? 0) * 2 ** 20;
      page = this.#page(table as Gfn);
    }
    return { page, at: 2 * (Math.floor(virtualFrame / 512 ** (level - 1)) % 512) };
  }

  #page(frame: Gfn): Uint32Array {
    const page = this.memory.writablePage(frame);
    if (page === undefined) throw new Error(`no room for page tables at frame ${frame}`);
    return page;
  }
}

/** Virtual frame of an address written as mm.rst does: `ffff888000000000`. */
export function at(address: string): VirtualFrame {
  return Number(BigInt(`0x${address}`) >> 12n) as VirtualFrame;
}
