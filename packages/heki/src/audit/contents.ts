import { type MovedImage, segmentAt } from '@heki/kernel-image';
import {
  compareImage,
  createImageView,
  type ImageAddress,
  type ImageComparison,
  type ImageRange,
  type ImageSymbols,
  imageAddress,
  imageVirtualAddress,
  type RunningKernel,
  readKprobes,
} from '@heki/patch-sites';
import { readCapabilities, readImageSymbols, type SymbolTable } from '@heki/symbols';
import { type VirtualMemory, virtualMemoryOf } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import type { Names } from '../names/names.ts';
import type { Snapshot } from '../snapshot.ts';
import { compareModules } from './module-contents.ts';

/**
 * What runs beside the image that `--vmlinux` names.
 *
 * @throws {InputError} when it has no symbols, or not those that tell where its code ends
 */
export async function compareContents(
  path: string,
  { core, tables }: Snapshot,
  { image, kernel, source }: Names,
): Promise<ImageComparison | undefined> {
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
  const [probes] = table.named('kprobe_table');
  const symbols = imageSymbols(table);
  const running: RunningKernel = {
    live: (at, length) => guest.read(imageVirtualAddress(at), length),
    probes: probes === undefined ? [] : readKprobes(guest.read, probes.address),
    bpf: bpfCode(kernel),
    capabilities: BUILT_RELEASES.test(image.release)
      ? readCapabilities(memoryOf(image.image), guest, table)
      : undefined,
  };
  const view = createImageView(image.image, symbols);
  const compared = compareImage(view, running);
  if (typeof compared === 'string') throw new InputError(compared, { file: path });
  return {
    ...compared,
    ...(await compareModules(path, kernel, table, {
      symbols,
      running: { ...running, core: view },
    })),
  };
}

/** Those whose way of patching was held to dumps of real guests, byte by byte: others write other NOPs. */
const BUILT_RELEASES = /^6\.(1|12)\.\d/;

/** Code that eBPF made, as the guest lists it. */
function bpfCode({ loaded }: Names['kernel']): ImageRange[] {
  if (typeof loaded === 'string') return [];
  return loaded.bpf.map(({ start, end }) => ({ start: imageAddress(start), end: imageAddress(end) }));
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
