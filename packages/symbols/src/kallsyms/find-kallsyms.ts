import { PAGE_SIZE, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { signedOf } from '../signed-address.ts';
import { lengthAt } from './expand-names.ts';
import { kallsymsAddresses } from './kallsyms-addresses.ts';
import { type KallsymsPlace, MARKED, MOST_SYMBOLS, TOKENS } from './kallsyms-place.ts';
import { LONGEST_TOKEN, readTokens } from './tokens.ts';

/** Tables begin on 8 bytes, and from Linux 7.0 on, which has only 32-bit numbers, on 4. */
type Alignment = 4 | 8;
const PAGE_WORDS = PAGE_SIZE / 4;
/** How far before the tokens the markers may begin: order numbers of all symbols may be between. */
const MARKERS_WITHIN = 2 ** 23;
/** How far before the markers the names may begin. */
const NAMES_WITHIN = 2 ** 24;
/** What 256 names, or two lengths of them, may take. */
const STEP = { least: 2 * MARKED, most: 512 * MARKED } as const;
/** Places for names whose first 256 are looked at: any small number may be that of the symbols. */
const MOST_TRIED = 2 ** 16;

/**
 * Finds kallsyms by the structure of its tables in `bytes`, the constants of a kernel or all of its image: 256 ascending offsets whose texts
 * end where the next begin; before them markers that tell where every 256th name begins, and names that do begin there; and numbers
 * that make ascending addresses.
 *
 * @param start the virtual address of the first byte, a multiple of 8
 * @param held the pages of `bytes` that may hold anything but zeros, ascending; by default all. A dump that has a few of an image's makes do
 *   with memory for these
 */
export function findKallsyms(
  bytes: Uint8Array,
  start: VirtualAddress,
  held: Iterable<number> = Array(Math.ceil(bytes.length / PAGE_SIZE)).keys(),
): KallsymsPlace | undefined {
  const view = new View(bytes);
  for (const tokens of tokenTables(view, held)) {
    for (const { names, count, alignment } of nameTables(view, tokens.table)) {
      const found = findOffsets(view, start, { ...tokens, names, count, alignment });
      if (found === undefined) continue;
      const at = (offset: number): VirtualAddress => virtualAddress(start + BigInt(offset));
      return {
        names: at(names),
        count,
        tokenTable: at(tokens.table),
        tokenIndex: at(tokens.index),
        offsets: at(found.offsets),
        relativeBase: found.relativeBase === undefined ? undefined : at(found.relativeBase),
      };
    }
  }
  return undefined;
}

/** Little-endian numbers; beyond the end there are zeros. */
class View {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;

  constructor(bytes: Uint8Array) {
    // A copy where the bytes do not lie as words do.
    this.bytes = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    this.words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, Math.floor(bytes.length / 4));
  }

  word(at: number): number {
    return this.words[at / 4] ?? 0;
  }
}

interface TokenTable {
  readonly table: number;
  readonly index: number;
}

function* tokenTables({ bytes, words }: View, held: Iterable<number>): Generator<TokenTable> {
  const last = words.length - TOKENS / 2;
  for (const page of held) {
    const end = Math.min(last, (page + 1) * PAGE_WORDS - 1);
    for (let at = Math.max(1, page * PAGE_WORDS); at <= end; at++) {
      // The first of two 16-bit numbers is 0, and the next not much more.
      const word = words[at] ?? 0;
      if (word % 0x10000 !== 0 || word === 0 || word > (LONGEST_TOKEN + 1) * 0x10000) continue;
      const index = new Uint16Array(words.buffer, words.byteOffset + 4 * at, TOKENS);
      if (ascends(index)) yield* textsBefore(bytes, at, index);
    }
  }
}

/** Where the texts may begin that `index`, the word `at`, tells the places of. */
function* textsBefore(bytes: Uint8Array, at: number, index: Uint16Array): Generator<TokenTable> {
  const end = index[TOKENS - 1] ?? 0;
  const from = Math.max(0, 4 * at - align(end + LONGEST_TOKEN + 1, 8));
  for (let table = 4 * at - align(end + 1, 4); table >= from; table -= 4) {
    if (readTokens(bytes.subarray(table, 4 * at), index) !== undefined) yield { table, index: 4 * at };
  }
}

function ascends(index: Uint16Array): boolean {
  for (let token = 1; token < TOKENS; token++) {
    if ((index[token] ?? 0) <= (index[token - 1] ?? 0)) return false;
  }
  // Texts, and not only the ends of such.
  return (index[TOKENS - 1] ?? 0) > TOKENS + TOKENS / 4;
}

interface NameTable {
  readonly names: number;
  readonly count: number;
  readonly alignment: Alignment;
}

/** Names that end before markers, which agree with them, before `tokenTable`. */
function* nameTables(view: View, tokenTable: number): Generator<NameTable> {
  let tried = 0;
  const first = Math.max(0, tokenTable - MARKERS_WITHIN);
  for (let markers = tokenTable - 8; markers >= first; markers -= 4) {
    if (view.word(markers) !== 0 || !isStep(view.word(markers + 4))) continue;
    const from = Math.max(4, markers - NAMES_WITHIN);
    for (let names = markers - STEP.least + 4; names >= from; names -= 4) {
      const { count, alignment } = countBefore(view, names);
      if (count <= MARKED || count > MOST_SYMBOLS || markers + 4 * Math.ceil(count / MARKED) > tokenTable)
        continue;
      if (tried++ > MOST_TRIED) return;
      if (agrees(view, { names, count, markers })) yield { names, count, alignment };
    }
  }
}

/** The number of symbols that may stand right before the names: on 8 bytes, four of nothing are between. */
function countBefore(view: View, names: number): { readonly count: number; readonly alignment: Alignment } {
  const right = view.word(names - 4);
  return right === 0 && names % 8 === 0
    ? { count: view.word(names - 8), alignment: 8 }
    : { count: right, alignment: 4 };
}

function isStep(bytes: number): boolean {
  return bytes >= STEP.least && bytes <= STEP.most;
}

/** Whether every 256th name begins where the markers say, and the last ends right before the markers. */
function agrees(
  { bytes, words }: View,
  { names, count, markers }: { readonly names: number; readonly count: number; readonly markers: number },
): boolean {
  let at = names;
  for (let symbol = 0; symbol < count; symbol++) {
    if (symbol % MARKED === 0 && words[markers / 4 + symbol / MARKED] !== at - names) return false;
    const length = lengthAt(bytes, at);
    at += length + (length < 0x80 ? 1 : 2);
    if (at > markers) return false;
  }
  return markers - at < 8;
}

/** The numbers of the symbols and what they count from: before the names, or behind the tokens. */
function findOffsets(
  view: View,
  start: VirtualAddress,
  { index, names, count, alignment }: TokenTable & NameTable,
): { readonly offsets: number; readonly relativeBase: number | undefined } | undefined {
  const before = names - 16;
  const behind = align(index + 2 * TOKENS, alignment);
  const candidates = [
    { offsets: before - align(4 * count, 8), relativeBase: before },
    { offsets: behind, relativeBase: align(behind + 4 * count, 8) },
    { offsets: behind, relativeBase: undefined },
  ];
  return candidates.find(({ offsets, relativeBase }) => {
    if (offsets < 0 || offsets % 4 !== 0 || offsets + 4 * count > view.bytes.length) return false;
    const numbers = new Int32Array(view.words.buffer, view.words.byteOffset + offsets, count);
    const from =
      relativeBase === undefined
        ? signedOf(start + BigInt(offsets))
        : signedOf(BigInt(view.word(relativeBase + 4)) * 2n ** 32n + BigInt(view.word(relativeBase)));
    // Images lie in the last 2 GiB.
    if (from === undefined || from >= 0 || from < -(2 ** 31)) return false;
    const base = relativeBase === undefined ? { placedAt: from } : { base: from };
    return kallsymsAddresses(numbers, base) !== undefined;
  });
}

function align(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
