import { BASE, type Sequence, type Step } from './sequence.ts';

/** Eight bytes of guest-physical memory. */
export interface Poke {
  readonly address: number;
  readonly value: bigint;
}

/** Where things of a sequence lie, in frames. The program that an emulator runs has the same addresses. */
export const LAYOUT = {
  /** Tables, root first; the second root is the next frame. */
  tables: 0x800,
  /** Nested tables, root first. */
  nested: 0x900,
  tablesEnd: 0xa00,
  /** Pages, by number; every byte is RET at first. */
  pages: 0xa00,
  pagesEnd: 0xa20,
  /** A page of 2 MiB. */
  large: 0xc00,
  /** The PDPT of what is identity-mapped for the supervisor, under the first entry of every PML4. */
  own: 0x602,
} as const;

/** Nested tables map this much to itself, in 4-KiB pages from `fine` to `end` and in 2-MiB pages before. */
const NESTED = { fine: 0x800, end: 0x1000 } as const;
const TABLE = 0x27n;

/** The tables of a sequence, built as its steps ask; every change is a list of bytes to write. */
export class SequenceTables {
  readonly #memory = new Map<number, bigint>();
  readonly #levels: 4 | 5;
  #next: number = LAYOUT.tables + 2;
  #nextNested: number = LAYOUT.nested + 1;
  #pokes: Poke[] = [];

  constructor({ processor }: Sequence) {
    this.#levels = processor.levels;
    for (const root of [LAYOUT.tables, LAYOUT.tables + 1]) {
      let table: number = root;
      if (this.#levels === 5) {
        const next = this.#next++;
        this.#write(table, 0, BigInt(next * 4096) | TABLE);
        table = next;
      }
      this.#write(table, 0, BigInt(LAYOUT.own * 4096) | TABLE);
    }
    if (processor.nested) this.#mapNested();
  }

  /** What was written since the last call. */
  take(): readonly Poke[] {
    const pokes = this.#pokes;
    this.#pokes = [];
    return pokes;
  }

  /** Carries out a step that changes tables. */
  apply(step: Extract<Step, { kind: 'map' | 'entry' | 'nested-entry' }>): void {
    if (step.kind === 'map') {
      const level = step.page === 'large' ? 2 : 1;
      const frame = step.page === 'large' ? LAYOUT.large : LAYOUT.pages + step.page;
      const large = step.page === 'large' ? 0x80n : 0n;
      // Both address spaces have what is mapped, in tables of their own.
      for (const root of [LAYOUT.tables, LAYOUT.tables + 1]) {
        const at = this.#entryAddress(root, step.va, level, true);
        this.#poke(at, BigInt(frame * 4096) | step.flags | large);
      }
      return;
    }
    const at =
      step.kind === 'entry'
        ? this.entryAddress(step.va, step.level)
        : this.#address(LAYOUT.nested, 4, step.gpa, step.level, false);
    this.#poke(at, (this.value(at) & ~step.change.clear) | step.change.set);
  }

  /** Physical address of the entry of `level` for an address of the first address space. */
  entryAddress(va: bigint, level: number): number {
    return this.#entryAddress(LAYOUT.tables, va, level, false);
  }

  /** What was written to an address; 0 when nothing was. */
  value(address: number): bigint {
    return this.#memory.get(address) ?? 0n;
  }

  #entryAddress(root: number, va: bigint, level: number, create: boolean): number {
    return this.#address(root, this.#levels, va, level, create);
  }

  #address(root: number, levels: number, address: bigint, level: number, create: boolean): number {
    let table = root;
    for (let at = levels; ; at--) {
      const index = Number((address >> BigInt(12 + 9 * (at - 1))) & 511n);
      if (at === level) return table * 4096 + index * 8;
      const entry = table * 4096 + index * 8;
      if (!this.#memory.has(entry)) {
        if (!create) throw new Error(`0x${address.toString(16)} has no entry of level ${level}`);
        this.#poke(entry, BigInt(this.#next++ * 4096) | TABLE);
      }
      table = Number((this.value(entry) >> 12n) & 0xff_ffff_ffffn);
    }
  }

  #mapNested(): void {
    const child = (table: number, index: number): number => {
      const next = this.#nextNested++;
      this.#write(table, index, BigInt(next * 4096) | TABLE);
      return next;
    };
    const directory = child(child(LAYOUT.nested, 0), 0);
    for (let frame = 0; frame < NESTED.end; frame += 512) {
      if (frame < NESTED.fine) {
        this.#write(directory, frame / 512, BigInt(frame * 4096) | 0xe7n);
        continue;
      }
      const table = child(directory, frame / 512);
      for (let i = 0; i < 512; i++) this.#write(table, i, BigInt((frame + i) * 4096) | 0x67n);
    }
  }

  #write(table: number, index: number, value: bigint): void {
    this.#poke(table * 4096 + index * 8, value);
  }

  #poke(address: number, value: bigint): void {
    this.#memory.set(address, value);
    this.#pokes.push({ address, value });
  }
}

/** CR3 when a sequence begins. */
export const ROOT: bigint = BASE.cr3;
