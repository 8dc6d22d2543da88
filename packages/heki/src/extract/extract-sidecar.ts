import { hex } from '@heki/physical-memory';
import { readMemoryMap } from '../input/read-memory-map.ts';
import { readSidecar } from '../sidecar.ts';

/** The JSON that goes beside an extract: what the commands read of a sidecar, and nothing else that was in it. */
export interface ExtractSidecar {
  readonly kernel?: string;
  readonly cmdline?: string;
  readonly page_offset_base?: string;
  readonly efer?: string;
  readonly iomem?: readonly string[];
  readonly symbols?: Readonly<Record<string, string>>;
}

/**
 * What is to stand beside the extract of the dump at `path`: what stands beside that, with the memory map in
 * `memoryMapPath` if there is one. `undefined` when nothing is known.
 *
 * @throws {InputError} when the memory map, or what stands beside the dump, is damaged
 */
export async function extractSidecar(
  path: string,
  memoryMapPath: string | undefined,
): Promise<ExtractSidecar | undefined> {
  const beside = await readSidecar(path);
  const mapFile = memoryMapPath ?? (beside?.hasMemoryMap === true ? beside.path : undefined);
  if (beside === undefined && mapFile === undefined) return undefined;
  return {
    ...(beside?.kernel === undefined ? {} : { kernel: beside.kernel }),
    ...(beside?.commandLine === undefined ? {} : { cmdline: beside.commandLine }),
    ...(beside?.directMap === undefined ? {} : { page_offset_base: hex(beside.directMap) }),
    ...(beside?.efer === undefined ? {} : { efer: hex(beside.efer) }),
    ...(mapFile === undefined ? {} : { iomem: (await readMemoryMap(mapFile)).lines }),
    ...(beside === undefined || beside.symbols.size === 0
      ? {}
      : { symbols: Object.fromEntries([...beside.symbols].map(([name, va]) => [name, hex(va)])) }),
  };
}
