import { virtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { readBtf } from './btf/read-btf.ts';
import type { SymbolTable } from './symbol-table.ts';

/** Words of feature and bug bits: a kernel has some two dozen. */
const MOST_WORDS = 64;
const WORD = 4;

/**
 * The feature and bug bits of the first processor as the kernel keeps them, 32 to a word: `boot_cpu_data.x86_capability`; `undefined` without types, and where they
 * are not held.
 *
 * @param constants where the kernel's constants are read, with its types
 * @param memory where its data are read
 */
export function readCapabilities(
  constants: VirtualMemory,
  memory: VirtualMemory,
  symbols: SymbolTable,
): number[] | undefined {
  const at = symbols.named('boot_cpu_data')[0]?.address;
  const btf = readBtf(constants, symbols);
  const type = btf?.struct('cpuinfo_x86');
  const member = type === undefined ? undefined : btf?.member(type, 'x86_capability');
  const count = member === undefined ? undefined : btf?.array(member.type)?.count;
  if (at === undefined || member === undefined || count === undefined || count > MOST_WORDS) return undefined;
  const bytes = memory.read(virtualAddress(at + BigInt(member.offset)), count * WORD);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, index) => view.getUint32(index * WORD, true));
}
