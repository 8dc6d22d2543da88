import { type MovedImage, segmentAt } from '@heki/kernel-image';
import {
  createImageView,
  type ImageAddress,
  type ImageSymbols,
  type ImageView,
  imageAddress,
  imageVirtualAddress,
  type ReadLive,
} from '@heki/patch-sites';
import { readCapabilities, readImageSymbols, type SymbolTable } from '@heki/symbols';
import { type VirtualMemory, virtualMemoryOf } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import type { Names } from '../names/names.ts';
import type { Snapshot } from '../snapshot.ts';

/** An image whose kernel runs in a snapshot, and the kernel's memory. */
export interface RunningImage {
  readonly view: ImageView;
  readonly table: SymbolTable;
  readonly symbols: ImageSymbols;
  /** Bytes out of the guest's memory. */
  readonly live: ReadLive;
  /** `boot_cpu_data.x86_capability` of the guest; `undefined` where it is not found. */
  readonly capabilities: readonly number[] | undefined;
}

/**
 * The image that `--vmlinux` named, where it runs.
 *
 * @throws {InputError} when it has no symbols
 */
export function runningImage(
  path: string,
  { core, tables }: Snapshot,
  { image, kernel, source }: Names,
): RunningImage | undefined {
  if (image === undefined) return undefined;
  // Of the image's own kallsyms: who changed the code may have changed those in the guest's memory, too.
  const own = readImageSymbols(tables, core.vmcoreinfo, memoryOf(image.image));
  const table = source.kind === 'file' ? kernel.symbols : typeof own === 'string' ? undefined : own.table;
  if (table === undefined) {
    const why = typeof own === 'string' ? `its kallsyms ${own}` : 'the file has none';
    throw new InputError(`its code cannot be compared without symbols: ${why} (--symbols names a file)`, {
      file: path,
    });
  }
  const guest = virtualMemoryOf(tables);
  const symbols = imageSymbols(table);
  return {
    view: createImageView(image.image, symbols),
    table,
    symbols,
    live: (at, length) => guest.read(imageVirtualAddress(at), length),
    capabilities: readCapabilities(memoryOf(image.image), guest, table),
  };
}

/** The image alone as memory. */
function memoryOf(image: MovedImage): VirtualMemory {
  return {
    read(address, length) {
      const segment = segmentAt(image, address, length);
      if (segment === undefined) return undefined;
      const at = Number(address - segment.address);
      return segment.bytes.slice(at, at + length);
    },
  };
}

function imageSymbols(table: SymbolTable): ImageSymbols {
  const names = new Map<string, ImageAddress>();
  const places = new Map<ImageAddress, string[]>();
  for (const { name, address } of table) {
    const at = imageAddress(address);
    if (!names.has(name)) names.set(name, at);
    const same = places.get(at);
    if (same === undefined) places.set(at, [name]);
    else same.push(name);
  }
  return {
    named: (name) => names.get(name),
    at: (address) => places.get(address) ?? [],
    *withPrefix(prefix) {
      for (const entry of names) if (entry[0].startsWith(prefix)) yield entry;
    },
  };
}
