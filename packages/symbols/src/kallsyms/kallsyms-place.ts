import type { VirtualAddress } from '@heki/physical-memory';
import type { Vmcoreinfo } from '@heki/vmcore';

/**
 * Where the tables of kallsyms are (Linux, scripts/kallsyms.c, kernel/kallsyms.c):
 *
 * ```
 * until 6.3   offsets  relative_base  num_syms  names  markers  [seqs_of_names, from 6.2]  token_table  token_index
 * from 6.4    num_syms  names  markers  token_table  token_index  offsets  relative_base  seqs_of_names
 * from 7.0    the same without relative_base
 * ```
 */
export interface KallsymsPlace {
  /** Of each symbol a length, of one byte or two, and as many tokens. */
  readonly names: VirtualAddress;
  /** Symbols. */
  readonly count: number;
  /** 256 texts with a zero byte behind each. */
  readonly tokenTable: VirtualAddress;
  /** Where each of them begins in the table: 256 16-bit numbers. */
  readonly tokenIndex: VirtualAddress;
  /** A 32-bit number for each symbol. */
  readonly offsets: VirtualAddress;
  /** Where the address is that they count from; `undefined` when each counts from its own place. */
  readonly relativeBase: VirtualAddress | undefined;
}

/** The place without the number of symbols, which has one of its own. */
export interface NamedPlace extends Omit<KallsymsPlace, 'count'> {
  readonly countAt: VirtualAddress;
}

/** What VMCOREINFO says of it: from Linux 6.0 on. */
export function namedPlace(vmcoreinfo: Vmcoreinfo | undefined): NamedPlace | undefined {
  const names = vmcoreinfo?.symbol('kallsyms_names');
  const countAt = vmcoreinfo?.symbol('kallsyms_num_syms');
  const tokenTable = vmcoreinfo?.symbol('kallsyms_token_table');
  const tokenIndex = vmcoreinfo?.symbol('kallsyms_token_index');
  const offsets = vmcoreinfo?.symbol('kallsyms_offsets');
  if (
    names === undefined ||
    countAt === undefined ||
    tokenTable === undefined ||
    tokenIndex === undefined ||
    offsets === undefined
  ) {
    return undefined;
  }
  const relativeBase = vmcoreinfo?.symbol('kallsyms_relative_base');
  return { names, countAt, tokenTable, tokenIndex, offsets, relativeBase };
}

/** The most symbols that a kernel is believed to have. */
export const MOST_SYMBOLS = 2 ** 21;
/** Codes of tokens: a byte of a compressed name is one. */
export const TOKENS = 256;
/** Symbols between two markers. */
export const MARKED = 256;
