import { TOKENS } from './kallsyms-place.ts';

/** The texts of all 256 tokens. */
export interface Tokens {
  /** All texts, one after the other. */
  readonly bytes: Uint8Array;
  /** Where each begins, and at the end where the last ends. */
  readonly starts: Uint32Array;
}

/** The longest text of a token that is believed. */
export const LONGEST_TOKEN = 128;

/**
 * The tokens of a table. What cannot be printed, or is not ASCII, becomes `\x1b`: names are for people, and memory is not trusted.
 *
 * @param table from its beginning to 128 bytes behind that of its last token, at least
 * @param index 256 offsets into it
 * @returns `undefined` when it is not one: offsets that do not ascend, or not from 0, or texts that do not end before the next
 */
export function readTokens(table: Uint8Array, index: Uint16Array): Tokens | undefined {
  const bytes: number[] = [];
  const starts = new Uint32Array(TOKENS + 1);
  for (let token = 0; token < TOKENS; token++) {
    const start = index[token] ?? 0;
    const next = token + 1 < TOKENS ? (index[token + 1] ?? 0) : undefined;
    const zero = table.indexOf(0, start);
    if ((token === 0 && start !== 0) || zero < 0 || zero - start > LONGEST_TOKEN) return undefined;
    if (next !== undefined && next !== zero + 1) return undefined;
    starts[token] = bytes.length;
    for (let at = start; at < zero; at++) bytes.push(...printed(table[at] ?? 0));
  }
  starts[TOKENS] = bytes.length;
  return { bytes: Uint8Array.from(bytes), starts };
}

function printed(byte: number): number[] {
  if (byte > 0x20 && byte < 0x7f) return [byte];
  return Array.from(`\\x${byte.toString(16).padStart(2, '0')}`, (character) => character.charCodeAt(0));
}
