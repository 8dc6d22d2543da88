import { createKernelNames, type KernelNames } from '@heki/symbols';
import { type ChosenRoot, type ProvenRoot, resolveKernelRoot, type Vmcore } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { imageMemory } from '../image/image-memory.ts';
import { withPath } from '../open-snapshot.ts';
import type { Sidecar } from '../sidecar.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Names } from './names.ts';
import { namesOfKernel } from './names-of-kernel.ts';
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
  const file = path === undefined ? undefined : { path, ...(await symbolsOfFile(path, core, tables)) };
  const image = vmlinux === undefined ? undefined : await imageMemory(vmlinux, core, tables, sidecar?.kernel);
  return namesOfKernel(core, tables, sidecar, { file, image });
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
