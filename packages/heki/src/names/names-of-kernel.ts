import { createKernelNames, kaslrOffset, type MemorySymbols, readImageSymbols } from '@heki/symbols';
import { loadedCrashKernel, type ProvenRoot, type Vmcore, virtualMemoryOf } from '@heki/vmcore';
import type { ImageMemory } from '../image/image-memory.ts';
import type { Sidecar } from '../sidecar.ts';
import { vmcoreinfoSymbols } from '../snapshot.ts';
import type { Names } from './names.ts';
import type { FileSymbols } from './symbols-of-file.ts';

/** What is named beside a dump. */
export interface NameFiles {
  /** A file of symbols: the kernel's own are not looked for then. */
  readonly file?: (FileSymbols & { readonly path: string }) | undefined;
  /** The kernel's image, whose bytes stand where the dump has none. */
  readonly image?: ImageMemory | undefined;
}

/** The names of what is in a kernel: by the file that is named, or by the kernel's own kallsyms, as far as dump and image have it. */
export function namesOfKernel(
  core: Vmcore,
  tables: ProvenRoot,
  sidecar: Sidecar | undefined,
  { file, image }: NameFiles = {},
): Names {
  const { vmcoreinfo } = core;
  const memory = image ?? virtualMemoryOf(tables);
  const own = file === undefined ? readImageSymbols(tables, vmcoreinfo, memory) : undefined;
  const symbols = file?.symbols ?? (typeof own === 'object' ? own.table : undefined);
  const beside = new Map([...vmcoreinfoSymbols(core), ...(sidecar?.symbols ?? [])]);
  return {
    kernel: createKernelNames(tables, {
      vmcoreinfo,
      symbols,
      exact: beside,
      memory,
      crashKernel: () => loadedCrashKernel(tables),
    }),
    memory,
    image,
    source: sourceOf(file?.path, own),
    kaslr: kaslrOffset(vmcoreinfo, symbols?.named('_text')[0]?.address, file?.moved),
    beside,
    warnings: file?.warnings ?? [],
  };
}

function sourceOf(path: string | undefined, own: MemorySymbols | string | undefined): Names['source'] {
  if (path !== undefined) return { kind: 'file', path };
  if (typeof own === 'object') return { kind: 'kallsyms', by: own.from };
  return { kind: 'none', why: `kallsyms ${own}` };
}
