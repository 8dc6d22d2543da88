import { type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { readMemoryMap } from '../input/read-memory-map.ts';
import { readSidecar } from '../read-sidecar.ts';
import type { SidecarKey } from '../sidecar.ts';

/** The JSON that goes beside an extract: what the commands read of a sidecar, and nothing else that was in it. */
export interface ExtractSidecar {
  readonly kernel?: string;
  readonly cmdline?: string;
  readonly page_offset_base?: string;
  readonly vmalloc_base?: string;
  readonly vmemmap_base?: string;
  readonly cr4?: string;
  readonly efer?: string;
  readonly hypercall_page?: string;
  readonly iomem?: readonly string[];
  readonly symbols?: Readonly<Record<string, string>>;
}

/** A value for every key: none is forgotten. What is `undefined` is left out. */
export type SidecarValues = { readonly [Key in SidecarKey]: ExtractSidecar[Key] | undefined };

/**
 * What is to stand beside the extract of the dump at `path`: what stands beside that, with the memory map in
 * `memoryMapPath` if there is one. `undefined` when nothing is known.
 *
 * @param hypercallPage the page by which a guest of Hyper-V calls it, if the dump has one
 *
 * @throws {InputError} when the memory map, or what stands beside the dump, is damaged
 */
export async function extractSidecar(
  path: string,
  memoryMapPath: string | undefined,
  hypercallPage: Gfn | undefined,
): Promise<ExtractSidecar | undefined> {
  const beside = await readSidecar(path);
  const mapFile = memoryMapPath ?? (beside?.hasMemoryMap === true ? beside.path : undefined);
  const page = hypercallPage ?? beside?.hypercallPage;
  if (beside === undefined && mapFile === undefined && page === undefined) return undefined;
  const symbols = [...(beside?.symbols ?? [])].map(([name, va]) => [name, hex(va)] as const);
  return knownOf({
    kernel: beside?.kernel,
    cmdline: beside?.commandLine,
    page_offset_base: hexOf(beside?.directMap),
    vmalloc_base: hexOf(beside?.bases.vmalloc),
    vmemmap_base: hexOf(beside?.bases.vmemmap),
    cr4: hexOf(beside?.cr4),
    efer: hexOf(beside?.efer),
    hypercall_page: page === undefined ? undefined : hex(page * PAGE_SIZE),
    iomem: mapFile === undefined ? undefined : (await readMemoryMap(mapFile)).lines,
    symbols: symbols.length === 0 ? undefined : Object.fromEntries(symbols),
  });
}

/** The values that are known. */
export function knownOf(values: SidecarValues): ExtractSidecar {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function hexOf(value: bigint | undefined): string | undefined {
  return value === undefined ? undefined : hex(value);
}
