import { PAGE_SIZE, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import {
  imageSections,
  type ProvenRoot,
  type VirtualMemory,
  type VirtualRange,
  type Vmcoreinfo,
  virtualMemoryOf,
} from '@heki/vmcore';
import type { SymbolTable } from '../symbol-table.ts';
import { findKallsyms } from './find-kallsyms.ts';
import { namedPlace } from './kallsyms-place.ts';
import { readKallsyms } from './read-kallsyms.ts';

/** Symbols out of a kernel's own memory. */
export interface MemorySymbols {
  readonly table: SymbolTable;
  /** What told where they are. */
  readonly from: 'vmcoreinfo' | 'structure';
}

/** Pages that are searched: 128 MiB, in which every kernel's image lies. */
const MOST_SEARCHED = 2 ** 15;

/**
 * The symbols of the kernel's image, as kallsyms in its memory has them: where VMCOREINFO says, or else, before Linux 6.0 or without
 * VMCOREINFO, where the constants of the image have the structure of its tables.
 *
 * @param memory what is mapped there; by default what the dump holds
 * @returns or why there are not any, in words that follow "kallsyms"
 * @throws {VmcoreError} when the dump cannot be read
 */
export function readImageSymbols(
  root: ProvenRoot,
  vmcoreinfo: Vmcoreinfo | undefined,
  memory: VirtualMemory = virtualMemoryOf(root),
): MemorySymbols | string {
  const named = namedPlace(vmcoreinfo);
  const byName = named === undefined ? undefined : readKallsyms(memory, named);
  if (typeof byName === 'object') return { table: byName, from: 'vmcoreinfo' };
  const { rodata, image } = imageSections(root);
  let why = byName;
  // Constants may be mapped as if they were not constant.
  for (const range of rodata === undefined ? [image] : [rodata, image]) {
    const { bytes, held } = readSparse(memory, range);
    const place = findKallsyms(bytes, virtualAddressOf(range.start), held);
    const found = place === undefined ? undefined : readKallsyms(memory, place);
    if (typeof found === 'object') return { table: found, from: 'structure' };
    why ??= found ?? (held.length === 0 ? 'is not in the dump' : 'is not found by its structure');
  }
  return why ?? 'is not in the dump';
}

/** The bytes of pages, zeros where a page is not mapped or not held, and the numbers of those that are; no bytes where none is. */
function readSparse(
  memory: VirtualMemory,
  { start, end }: VirtualRange,
): { bytes: Uint8Array; held: number[] } {
  const pages = Math.min(end - start, MOST_SEARCHED);
  // Made for the first page that is held: most dumps have none, and tens of megabytes that are thrown away each time keep the collector busy.
  let bytes = new Uint8Array(0);
  const held: number[] = [];
  for (let page = 0; page < pages; page++) {
    const read = memory.read(virtualAddressOf((start + page) as VirtualFrame), PAGE_SIZE);
    if (read === undefined) continue;
    if (held.length === 0) bytes = new Uint8Array(pages * PAGE_SIZE);
    bytes.set(read, page * PAGE_SIZE);
    held.push(page);
  }
  return { bytes, held };
}
