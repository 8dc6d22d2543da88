import type { VirtualAddress } from '@heki/physical-memory';
import { addressOfSigned, type SignedAddress, signedOf } from './signed-address.ts';

const LINE_BREAK = 10;

/** A symbol. */
export interface KernelSymbol {
  readonly name: string;
  /** Its run-time address; of a variable in the CPUs' own areas its offset there. */
  readonly address: VirtualAddress;
  /** As nm(1) has it: `T` text, `D` data, `R` rodata, `B` bss, `A` absolute, small letters for what is local. */
  readonly type: string;
}

/** A symbol, and how far behind it an address is. */
export interface SymbolPlace {
  readonly symbol: KernelSymbol;
  readonly offset: number;
  /** Bytes from the symbol to the next one at another address: mostly its size; `undefined` behind the last. */
  readonly size: number | undefined;
}

/**
 * Symbols in the order of their source. All names are one string, and all addresses one array: a kernel has 150,000 of them, and a
 * command wants one.
 */
export interface SymbolTable extends Iterable<KernelSymbol> {
  readonly size: number;
  /** The same symbols with those of the kernel's half moved by as many bytes: absolute ones stay. */
  moved(by: number): SymbolTable;
  /** @throws {RangeError} unless `index` is in 0 .. size - 1 */
  symbol(index: number): KernelSymbol;
  /** The symbols of that name, in order: there may be several static functions of one. */
  named(name: string): KernelSymbol[];
  /** The last symbol of the kernel's half that begins at `address` or before it, the first of several that do. */
  at(address: VirtualAddress): SymbolPlace | undefined;
}

/** @param text a line of a letter and a name for each of `addresses`, all with line breaks behind */
export function createSymbolTable(text: string, addresses: Float64Array): SymbolTable {
  return new PackedSymbols(text, addresses);
}

/** The table of `symbols`. Those whose addresses are not exact as numbers are not addresses of a kernel, and are left out. */
export function symbolTableOf(symbols: Iterable<KernelSymbol>): SymbolTable {
  const lines: string[] = [];
  const addresses: SignedAddress[] = [];
  for (const { name, address, type } of symbols) {
    const signed = signedOf(address);
    if (signed === undefined) continue;
    lines.push(`${type}${name}\n`);
    addresses.push(signed);
  }
  return createSymbolTable(lines.join(''), Float64Array.from(addresses));
}

class PackedSymbols implements SymbolTable {
  readonly size: number;
  /** Of each symbol its type and its name, and a line break behind. */
  readonly #text: string;
  /** Where the type of each symbol stands in the text, and at the end where the text ends. */
  readonly #starts: Uint32Array;
  readonly #addresses: Float64Array;
  /** Of each hash of a name the first symbol that has it, and of each symbol the next; -1 for none. */
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  #order: Uint32Array | undefined;

  constructor(text: string, addresses: Float64Array) {
    this.size = addresses.length;
    this.#text = text;
    this.#addresses = addresses;
    this.#starts = new Uint32Array(this.size + 1);
    this.#first = new Int32Array(2 ** Math.ceil(Math.log2(this.size + 2))).fill(-1);
    this.#next = new Int32Array(this.size);
    this.#index();
  }

  moved(by: number): SymbolTable {
    if (by === 0) return this;
    return createSymbolTable(
      this.#text,
      this.#addresses.map((address) => (address < 0 ? address + by : address)),
    );
  }

  symbol(index: number): KernelSymbol {
    const address = this.#addresses[index];
    if (address === undefined) throw new RangeError(`symbol ${index} of ${this.size}`);
    const start = this.#starts[index] ?? 0;
    return {
      name: this.#text.slice(start + 1, (this.#starts[index + 1] ?? 0) - 1),
      address: addressOfSigned(address),
      type: this.#text.charAt(start),
    };
  }

  *[Symbol.iterator](): Iterator<KernelSymbol> {
    for (let index = 0; index < this.size; index++) yield this.symbol(index);
  }

  named(name: string): KernelSymbol[] {
    const found: KernelSymbol[] = [];
    let hash = 0;
    for (let at = 0; at < name.length; at++) hash = hashed(hash, name.charCodeAt(at));
    for (let index = this.#first[this.#slot(hash)] ?? -1; index >= 0; index = this.#next[index] ?? -1) {
      const start = (this.#starts[index] ?? 0) + 1;
      const isNamed =
        (this.#starts[index + 1] ?? 0) - 1 - start === name.length && this.#text.startsWith(name, start);
      if (isNamed) found.push(this.symbol(index));
    }
    return found.reverse();
  }

  at(address: VirtualAddress): SymbolPlace | undefined {
    const wanted = signedOf(address);
    if (wanted === undefined || wanted >= 0) return undefined;
    const order = this.#sorted();
    const addressAt = (rank: number): number => this.#addresses[order[rank] ?? 0] ?? 0;
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (addressAt(middle) <= wanted) low = middle + 1;
      else high = middle;
    }
    let rank = low - 1;
    if (rank < 0) return undefined;
    const found = addressAt(rank);
    while (rank > 0 && addressAt(rank - 1) === found) rank--;
    const size = low < order.length ? addressAt(low) - found : undefined;
    return { symbol: this.symbol(order[rank] ?? 0), offset: wanted - found, size };
  }

  /** In one pass: where each line begins, and which names have which hash. Of one hash the last symbol comes first. */
  #index(): void {
    let at = 0;
    for (let symbol = 0; symbol < this.size; symbol++) {
      this.#starts[symbol] = at;
      let hash = 0;
      // Behind the type.
      for (at++; at < this.#text.length; at++) {
        const letter = this.#text.charCodeAt(at);
        if (letter === LINE_BREAK) break;
        hash = hashed(hash, letter);
      }
      at++;
      const slot = this.#slot(hash);
      this.#next[symbol] = this.#first[slot] ?? -1;
      this.#first[slot] = symbol;
    }
    this.#starts[this.size] = at;
  }

  #slot(hash: number): number {
    return (hash >>> 0) % this.#first.length;
  }

  /** Symbols of the kernel's half by address; those of one address in the order of the source. */
  #sorted(): Uint32Array {
    if (this.#order !== undefined) return this.#order;
    const addresses = this.#addresses;
    const order = new Uint32Array(this.size);
    let count = 0;
    let isSorted = true;
    let last = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < this.size; index++) {
      const address = addresses[index] ?? 0;
      if (address >= 0) continue;
      isSorted &&= address >= last;
      last = address;
      order[count++] = index;
    }
    const used = order.subarray(0, count);
    if (!isSorted) used.sort((a, b) => (addresses[a] ?? 0) - (addresses[b] ?? 0) || a - b);
    this.#order = used;
    return used;
  }
}

/** One more letter of a name. */
function hashed(hash: number, letter: number): number {
  return (Math.imul(hash, 31) + letter) | 0;
}
