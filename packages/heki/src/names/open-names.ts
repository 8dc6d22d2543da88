import {
  createKernelNames,
  type KernelNames,
  kaslrOffset,
  type MemorySymbols,
  readImageSymbols,
} from '@heki/symbols';
import {
  type ChosenRoot,
  loadedCrashKernel,
  type ProvenRoot,
  resolveKernelRoot,
  type Vmcore,
  virtualMemoryOf,
} from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { imageMemory } from '../image/image-memory.ts';
import { withPath } from '../open-snapshot.ts';
import type { Sidecar } from '../sidecar.ts';
import { type Snapshot, vmcoreinfoSymbols } from '../snapshot.ts';
import type { Names } from './names.ts';
import { ownNames } from './own-names.ts';
import { symbolsOfFile } from './symbols-of-file.ts';

/** Where names are asked for. */
export interface NamesOptions {
  /** A System.map, a /proc/kallsyms or a vmlinux of this kernel. */
  readonly symbols?: string | undefined;
  /** The kernel's image: vmlinux, bzImage, or a Debian package with one. */
  readonly vmlinux?: string | undefined;
}

/**
 * The names of what is in a kernel: by the file that is named, or by the kernel's own kallsyms.
 *
 * @throws {InputError} when the file is not one of symbols, or another kernel's
 */
export async function openNames(
  core: Vmcore,
  tables: ProvenRoot,
  sidecar: Sidecar | undefined,
  { symbols: path, vmlinux }: NamesOptions = {},
): Promise<Names> {
  if (path === undefined && vmlinux === undefined) return ownNames(core, tables, sidecar);
  const { vmcoreinfo } = core;
  const file = path === undefined ? undefined : await symbolsOfFile(path, core, tables);
  const image = vmlinux === undefined ? undefined : await imageMemory(vmlinux, core, tables, sidecar?.kernel);
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
    source: sourceOf(path, own),
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

/**
 * The names of the kernel in an address space, which may have been named by a CPU or by CR3; `undefined` where nothing proves to be a kernel.
 *
 * @throws {InputError} as {@link openNames}, and instead of giving `undefined` where symbols are needed
 */
export async function namesOfAddressSpace(
  path: string,
  { core, tables }: Snapshot<ProvenRoot | ChosenRoot>,
  sidecar: Sidecar | undefined,
  options: NamesOptions & { readonly needed: boolean },
): Promise<Names | undefined> {
  const root = 'origin' in tables ? tables : kernelOf(path, core, options.needed);
  return root === undefined ? undefined : openNames(core, root, sidecar, options);
}

function kernelOf(path: string, core: Vmcore, needed: boolean): ProvenRoot | undefined {
  try {
    return withPath(path, () => resolveKernelRoot(core));
  } catch (error) {
    if (needed || !(error instanceof InputError)) throw error;
    return undefined;
  }
}

/** What page tables and VMCOREINFO tell without symbols: regions; `undefined` where nothing proves to be a kernel. */
export function regionsOf(
  path: string,
  { core, tables }: Snapshot<ProvenRoot | ChosenRoot>,
): KernelNames | undefined {
  const root = 'origin' in tables ? tables : kernelOf(path, core, false);
  return root === undefined ? undefined : createKernelNames(root, { vmcoreinfo: core.vmcoreinfo });
}
