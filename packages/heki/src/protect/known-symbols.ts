import {
  hex,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { ProvenRoot } from '@heki/vmcore';
import { walkMappings } from '@heki/x86';
import { InputError } from '../failure.ts';
import { count } from '../quantity.ts';
import type { Sidecar } from '../sidecar.ts';
import type { Warning } from '../warning.ts';

/** Symbols of a kernel's image that attacks are aimed at: what is beside a snapshot must have them where the kernel has them. */
const IMAGE_SYMBOLS = ['_stext', '_text', 'init_uts_ns', '_sdata'];

/**
 * The symbols that stand beside a snapshot, without those that cannot be this kernel's.
 *
 * @throws {InputError} when `page_offset_base` there is not where the kernel's direct map begins
 */
export function knownSymbols(
  sidecar: Sidecar | undefined,
  tables: ProvenRoot,
): { readonly symbols: ReadonlyMap<string, VirtualAddress>; readonly warnings: readonly Warning[] } {
  if (sidecar === undefined) return { symbols: new Map(), warnings: [] };
  const { name } = sidecar;
  const found = virtualAddressOf(tables.directMap.start);
  if (sidecar.directMap !== undefined && sidecar.directMap !== found) {
    throw new InputError(
      `page_offset_base is ${hex(sidecar.directMap)}, but the page tables have the direct map at ${hex(found)}: does it belong to this snapshot?`,
      { file: sidecar.path },
    );
  }
  const symbols = new Map(sidecar.symbols);
  const warnings: Warning[] = [];
  const zeros = [...symbols].filter(([, address]) => address === 0n).map(([symbol]) => symbol);
  if (zeros.length > 0) {
    warnings.push({
      id: 'symbols',
      message: `${name}: ${count(zeros.length, 'symbol')} (${zeros[0]} first) ${zeros.length === 1 ? 'has' : 'have'} address 0, as /proc/kallsyms shows them without privileges: passed over`,
    });
  }
  for (const symbol of zeros) symbols.delete(symbol);
  for (const symbol of IMAGE_SYMBOLS) {
    const address = symbols.get(symbol);
    if (address === undefined || isMapped(tables, address)) continue;
    symbols.delete(symbol);
    warnings.push({
      id: 'symbols',
      message: `${name}: ${symbol} at ${hex(address)} is not mapped: it is another kernel's, and passed over`,
    });
  }
  return { symbols, warnings };
}

function isMapped(tables: ProvenRoot, address: VirtualAddress): boolean {
  const frame = virtualFrameOf(address);
  return walkMappings(tables, frame, (frame + 1) as VirtualFrame, () => {}).leaves > 0;
}
