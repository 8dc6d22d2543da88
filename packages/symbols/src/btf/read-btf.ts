import type { VirtualMemory } from '@heki/vmcore';
import type { SymbolTable } from '../symbol-table.ts';
import { type Btf, parseBtf } from './btf.ts';

/** Debian's kernels have 5 MiB. */
const MOST_BYTES = 2 ** 26;

/** The types of a kernel out of its constants: between `__start_BTF` and `__stop_BTF`; `undefined` without CONFIG_DEBUG_INFO_BTF, and where they are not held. */
export function readBtf(memory: VirtualMemory, symbols: SymbolTable): Btf | undefined {
  const start = symbols.named('__start_BTF')[0]?.address;
  const end = symbols.named('__stop_BTF')[0]?.address;
  if (start === undefined || end === undefined) return undefined;
  const length = end - start;
  if (length <= 0n || length > MOST_BYTES) return undefined;
  const bytes = memory.read(start, Number(length));
  return bytes === undefined ? undefined : parseBtf(bytes);
}
