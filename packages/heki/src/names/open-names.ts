import { readVmlinuxSymbols } from '@heki/kernel-image';
import { hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import {
  KernelNames,
  kaslrOffset,
  type MemorySymbols,
  parseSystemMap,
  readImageSymbols,
  SymbolError,
  SymbolTable,
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
import { readElfFile } from '../input/elf-file.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { withPath } from '../open-snapshot.ts';
import type { Sidecar } from '../sidecar.ts';
import { type Snapshot, vmcoreinfoSymbols } from '../snapshot.ts';
import type { Names } from './names.ts';
import { ownNames } from './own-names.ts';

const PAGE = BigInt(PAGE_SIZE);
/** CONFIG_PHYSICAL_ALIGN: KASLR moves an image by multiples of it, 2 MiB. */
const KASLR_ALIGNMENT = 0x20_0000n;

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
  const file = path === undefined ? undefined : await symbolsOfFile(path, tables, vmcoreinfo?.kernelOffset);
  const image = vmlinux === undefined ? undefined : await imageMemory(vmlinux, core, tables, sidecar?.kernel);
  const memory = image ?? virtualMemoryOf(tables);
  const own = file === undefined ? readImageSymbols(tables, vmcoreinfo, memory) : undefined;
  const symbols = file?.symbols ?? (typeof own === 'object' ? own.table : undefined);
  const beside = new Map([...vmcoreinfoSymbols(core), ...(sidecar?.symbols ?? [])]);
  return {
    kernel: new KernelNames(tables, {
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
  };
}

function sourceOf(path: string | undefined, own: MemorySymbols | string | undefined): Names['source'] {
  if (path !== undefined) return { kind: 'file', path };
  if (typeof own === 'object') return { kind: 'kallsyms', by: own.from };
  return { kind: 'none', why: `kallsyms ${own}` };
}

/** The symbols of a file where the image of this kernel is, and how far they were moved, where the file does not have them there already. */
async function symbolsOfFile(
  path: string,
  tables: ProvenRoot,
  kernelOffset: bigint | undefined,
): Promise<{ readonly symbols: SymbolTable; readonly moved: bigint | undefined }> {
  const table = symbolsOfVmlinux(path) ?? (await symbolsOfText(path));
  const linked = table.named('_stext')[0]?.address ?? table.named('_text')[0]?.address;
  if (linked === undefined) throw new InputError('it has neither _stext nor _text', { file: path });
  const running = virtualAddressOf(tables.text.virtualFrame);
  const isRunning = linked / PAGE === running / PAGE;
  if (isRunning) return { symbols: table, moved: undefined };
  const moved = kernelOffset ?? running - (linked / PAGE) * PAGE;
  if ((linked + moved) / PAGE !== running / PAGE || moved % KASLR_ALIGNMENT !== 0n) {
    throw new InputError(
      `its _stext, ${hex(linked)}, cannot have been moved to the text of the snapshot's kernel, ${hex(running)}: is it the map of this kernel?`,
      { file: path },
    );
  }
  return { symbols: table.moved(Number(moved)), moved };
}

async function symbolsOfText(path: string): Promise<SymbolTable> {
  const text = await readText(path, INPUT_KINDS.kernelSymbols);
  return withFile(path, () => parseSystemMap(text));
}

/** The symbols of a vmlinux; `undefined` when the file is none. @throws {InputError} when it was stripped */
function symbolsOfVmlinux(path: string): SymbolTable | undefined {
  return readElfFile(path, (file) => {
    const symbols = readVmlinuxSymbols(file);
    if (symbols !== undefined) return SymbolTable.of(symbols);
    throw new InputError(
      'it has no symbol table: it was stripped (--vmlinux reads the kallsyms in its image)',
      { file: path },
    );
  });
}

function withFile<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (error instanceof SymbolError) throw new InputError(error.message, { file: path }, error);
    throw error;
  }
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
  return root === undefined ? undefined : new KernelNames(root, { vmcoreinfo: core.vmcoreinfo });
}
