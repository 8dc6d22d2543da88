import { basename } from 'node:path';
import { readVmlinuxSymbols } from '@heki/kernel-image';
import { hex, PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { parseSystemMap, SymbolError, type SymbolTable, symbolTableOf } from '@heki/symbols';
import { type ProvenRoot, type Vmcore, virtualMemoryOf } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { readElfFile } from '../input/elf-file.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { vmcoreinfoSymbols } from '../snapshot.ts';
import type { Warning } from '../warning.ts';
import { systemMapOfPackage } from './system-map-of-package.ts';

/** The symbols of a file, where the image of a snapshot's kernel has them. */
export interface FileSymbols {
  readonly symbols: SymbolTable;
  /** How far they were moved, where the file does not have them there already. */
  readonly moved: bigint | undefined;
  /** That nothing in the snapshot tells whether the file is of its kernel. */
  readonly warnings: readonly Warning[];
}

const PAGE = BigInt(PAGE_SIZE);
/** CONFIG_PHYSICAL_ALIGN: KASLR moves an image by multiples of it, 2 MiB. */
const KASLR_ALIGNMENT = 0x20_0000n;
/** `__START_KERNEL_map`: below, VMCOREINFO has the value of a pointer (`mem_section`) or what is no symbol of the image. */
const IMAGE_WINDOW = 0xffff_ffff_8000_0000n;

/**
 * The symbols of the System.map, /proc/kallsyms or vmlinux at `path`, or of the System.map in a Debian package, where this kernel's image is. Most kernels are linked at the same address, so that
 * of each other one the symbols would fit, and every name be wrong: they are held to what the kernel tells of its own.
 *
 * @throws {InputError} when it has no symbols, or is another kernel's
 */
export async function symbolsOfFile(path: string, core: Vmcore, tables: ProvenRoot): Promise<FileSymbols> {
  const table = symbolsOfVmlinux(path) ?? (await symbolsOfText(path));
  const { symbols, moved } = placed(table, path, core, tables);
  const isConfirmed = [
    agreesWithVmcoreinfo(symbols, path, core),
    agreesWithBanner(symbols, path, tables),
  ].includes(true);
  return { symbols, moved, warnings: isConfirmed ? [] : [unconfirmed(path)] };
}

function placed(
  table: SymbolTable,
  path: string,
  { vmcoreinfo }: Vmcore,
  tables: ProvenRoot,
): Pick<FileSymbols, 'symbols' | 'moved'> {
  const linked = table.named('_stext')[0]?.address ?? table.named('_text')[0]?.address;
  if (linked === undefined) throw new InputError('it has neither _stext nor _text', { file: path });
  const running = virtualAddressOf(tables.text.virtualFrame);
  const isRunning = linked / PAGE === running / PAGE;
  if (isRunning) return { symbols: table, moved: undefined };
  const moved = vmcoreinfo?.kernelOffset ?? running - (linked / PAGE) * PAGE;
  if ((linked + moved) / PAGE !== running / PAGE || moved % KASLR_ALIGNMENT !== 0n) {
    throw new InputError(
      `its _stext, ${hex(linked)}, cannot have been moved to the text of the snapshot's kernel, ${hex(running)}: is it the map of this kernel?`,
      { file: path },
    );
  }
  return { symbols: table.moved(Number(moved)), moved };
}

/** Whether a symbol beside the first one is where VMCOREINFO has it. @throws {InputError} when one is elsewhere */
function agreesWithVmcoreinfo(symbols: SymbolTable, path: string, core: Vmcore): boolean {
  let agrees = false;
  for (const [name, address] of vmcoreinfoSymbols(core)) {
    const own = symbols.named(name);
    if (address < IMAGE_WINDOW || name === '_stext' || own[0] === undefined) continue;
    // There may be several static ones of one name.
    if (!own.some((symbol) => symbol.address === address)) {
      throw new InputError(
        `it has ${name} where ${hex(own[0].address)} is, and VMCOREINFO has it at ${hex(address)}: it is another kernel's`,
        { file: path },
      );
    }
    agrees = true;
  }
  return agrees;
}

const BANNER = 'Linux version ';

/** Whether the kernel's banner is where the file has it, if the snapshot has that page. @throws {InputError} when something else is there */
function agreesWithBanner(symbols: SymbolTable, path: string, tables: ProvenRoot): boolean {
  const address: VirtualAddress | undefined = symbols.named('linux_banner')[0]?.address;
  const bytes = address === undefined ? undefined : virtualMemoryOf(tables).read(address, BANNER.length);
  if (address === undefined || bytes === undefined) return false;
  if (String.fromCharCode(...bytes) === BANNER) return true;
  throw new InputError(
    `it has linux_banner at ${hex(address)}, where the snapshot has no banner of a kernel: it is another kernel's`,
    { file: path },
  );
}

function unconfirmed(path: string): Warning {
  return {
    id: 'symbols-unconfirmed',
    message: `nothing in the snapshot tells whether ${basename(path)} is of its kernel: every name that comes from it may be wrong`,
  };
}

async function symbolsOfText(path: string): Promise<SymbolTable> {
  const text = (await systemMapOfPackage(path)) ?? (await readText(path, INPUT_KINDS.kernelSymbols));
  return withFile(path, () => parseSystemMap(text));
}

/** The symbols of a vmlinux; `undefined` when the file is none. @throws {InputError} when it was stripped */
function symbolsOfVmlinux(path: string): SymbolTable | undefined {
  return readElfFile(path, (file) => {
    const symbols = readVmlinuxSymbols(file);
    if (symbols !== undefined) return symbolTableOf(symbols);
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
