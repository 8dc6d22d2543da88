import type { Tokens } from './tokens.ts';

/** The longest name that is believed, with its type: KSYM_NAME_LEN is 512. */
const LONGEST_NAME = 1024;
/** Bytes of all names together. */
const MOST_TEXT = 2 ** 28;
const LINE_BREAK = 10;
const UNKNOWN_TYPE = 0x3f;

/**
 * Type and name of each symbol with a line break behind.
 *
 * @param names the compressed names of `count` symbols, and what follows them
 * @returns or what is wrong, in words that follow "kallsyms"
 */
export function expandNames(
  names: Uint8Array,
  count: number,
  { bytes, starts }: Tokens,
): string | RangeError {
  let size = 0;
  let at = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    const length = lengthAt(names, at);
    const from = at + (length < 0x80 ? 1 : 2);
    at = from + length;
    if (at > names.length) return new RangeError(`has a name that does not end, that of symbol ${symbol}`);
    let expanded = 0;
    for (let code = from; code < at; code++) {
      const token = names[code] ?? 0;
      expanded += (starts[token + 1] ?? 0) - (starts[token] ?? 0);
    }
    if (expanded > LONGEST_NAME)
      return new RangeError(`has a name of ${expanded} bytes, that of symbol ${symbol}`);
    size += Math.max(expanded, 1) + 1;
    if (size > MOST_TEXT) return new RangeError(`has names of more than ${MOST_TEXT} bytes`);
  }
  const text = new Uint8Array(size);
  let to = 0;
  at = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    const length = lengthAt(names, at);
    const from = at + (length < 0x80 ? 1 : 2);
    at = from + length;
    const first = to;
    for (let code = from; code < at; code++) {
      const token = names[code] ?? 0;
      const end = starts[token + 1] ?? 0;
      for (let byte = starts[token] ?? 0; byte < end; byte++) text[to++] = bytes[byte] ?? 0;
    }
    if (to === first) text[to++] = UNKNOWN_TYPE;
    text[to++] = LINE_BREAK;
  }
  return new TextDecoder('latin1').decode(text);
}

/** Tokens of the name at `at`. With bit 7 the length has a second byte (from Linux 6.1 on); before, none was so long. */
export function lengthAt(names: Uint8Array, at: number): number {
  const low = names[at] ?? 0;
  return low < 0x80 ? low : (low % 0x80) + (names[at + 1] ?? 0) * 0x80;
}
