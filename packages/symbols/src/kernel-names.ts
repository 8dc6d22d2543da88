import {
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import {
  type ImageSections,
  imageSections,
  kernelRegions,
  mappedFrame,
  type ProvenRoot,
  REGION_NAMES,
  type Region,
  type RegionName,
  regionAt,
  type VirtualMemory,
  type VirtualRange,
  type Vmcoreinfo,
  virtualMemoryOf,
} from '@heki/vmcore';
import type { ModulePartKind } from './modules/kernel-module.ts';
import { type BpfCode, type LoadedCode, readLoadedCode } from './modules/read-modules.ts';
import type { KernelSymbol, SymbolPlace, SymbolTable } from './symbol-table.ts';

/** A symbol, and the module that it is of. */
export interface NamedSymbol extends KernelSymbol {
  /** `undefined` for the kernel's image; `bpf` for what the JIT of eBPF made. */
  readonly module?: string | undefined;
}

/** The parts of memory that addresses are told to lie in: those of the kernel's half, the image and the direct map told finer, and `user`. */
export const PLACE_REGIONS = [...REGION_NAMES, 'kernel bss', 'crash kernel', 'BPF', 'user'] as const;

/** What is at an address. */
export interface Place {
  /** The part of the kernel's half that it lies in, or `user`. */
  readonly region: (typeof PLACE_REGIONS)[number];
  /** The module that it lies in, and which part of it. */
  readonly module?: { readonly name: string; readonly part: ModulePartKind } | undefined;
  /** The symbol that it lies in or behind, where symbols are known. */
  readonly symbol?: SymbolPlace | undefined;
  /** In the direct map: the address by which the image has the same byte. */
  readonly alias?: { readonly address: VirtualAddress; readonly place: Place } | undefined;
}

interface Frames {
  readonly start: number;
  readonly end: number;
}

/** What is known of a kernel beside its page tables. */
export interface NameEvidence {
  readonly vmcoreinfo?: Vmcoreinfo | undefined;
  /** Symbols of its image, at their run-time addresses. */
  readonly symbols?: SymbolTable | undefined;
  /** Symbols that are known without a table: they name their own address, and nothing behind it. */
  readonly exact?: ReadonlyMap<string, VirtualAddress> | undefined;
  /** What is mapped there. Default: what the dump holds. */
  readonly memory?: VirtualMemory | undefined;
  /** Lines of /proc/iomem. */
  readonly iomem?: readonly string[] | undefined;
  /** Frames where a crash kernel is loaded: asked for once, and only if an address of the direct map is. */
  readonly crashKernel?: (() => readonly Frames[]) | undefined;
}

/** Symbols that tell where the parts of an image are. */
const SECTION_SYMBOLS = ['_text', '_stext', '_etext', '__start_rodata', '__end_rodata', '__bss_stop', '_end'];

/** What is where in a kernel's memory. */
export type KernelNames = Pick<NamesOfKernel, keyof NamesOfKernel>;

/** What is where in the kernel whose page tables `root` has found. */
export function createKernelNames(root: ProvenRoot, evidence: NameEvidence): KernelNames {
  return new NamesOfKernel(root, evidence);
}

class NamesOfKernel {
  readonly symbols: SymbolTable | undefined;
  readonly sections: ImageSections;
  readonly regions: readonly Region[];
  readonly #root: ProvenRoot;
  readonly #memory: VirtualMemory;
  readonly #exact: ReadonlyMap<VirtualAddress, string>;
  #loaded: LoadedCode | string | undefined;
  readonly #bss: VirtualRange | undefined;
  readonly #findCrashKernel: NameEvidence['crashKernel'];
  #crashKernel: readonly Frames[] | undefined;

  constructor(root: ProvenRoot, evidence: NameEvidence) {
    const { symbols, vmcoreinfo } = evidence;
    this.symbols = symbols;
    this.#root = root;
    this.#exact = new Map([...(evidence.exact ?? [])].map(([name, address]) => [address, name]));
    this.#findCrashKernel = evidence.crashKernel;
    const known = new Map(
      SECTION_SYMBOLS.flatMap((name) => {
        const address = this.#address(name);
        return address === undefined ? [] : [[name, address] as const];
      }),
    );
    this.sections = imageSections(root, { symbols: known, iomem: evidence.iomem ?? [] });
    const { memory = virtualMemoryOf(root) } = evidence;
    this.#memory = memory;
    this.regions = kernelRegions(root, this.sections, {
      vmalloc: this.#pointer(memory, 'vmalloc_base') ?? hexadecimal(vmcoreinfo, 'NUMBER(VMALLOC_START)'),
      vmemmap: this.#pointer(memory, 'vmemmap_base') ?? vmcoreinfo?.symbol('vmemmap'),
    });
    const [start, end] = [this.#address('__bss_start'), this.#address('__bss_stop')];
    if (start !== undefined && end !== undefined) {
      this.#bss = {
        start: virtualFrameOf(start),
        end: virtualFrameOf(virtualAddress(end + BigInt(PAGE_SIZE - 1))),
      };
    }
  }

  /** What was loaded into the kernel, or why that is not known, in words that follow "modules". Read when it is asked for. */
  get loaded(): LoadedCode | string {
    this.#loaded ??=
      this.symbols === undefined
        ? 'cannot be found: no symbols of the kernel are known'
        : readLoadedCode(this.#memory, this.symbols);
    return this.#loaded;
  }

  /** Symbols of that name: of `module`, or of the image, or of any module where the image has none. */
  named(name: string, module?: string): NamedSymbol[] {
    const own = module === undefined ? (this.symbols?.named(name) ?? []) : [];
    if (own.length > 0 || typeof this.loaded === 'string') return own;
    const { modules, bpf } = this.loaded;
    return [
      ...modules
        .filter((one) => module === undefined || one.name === module)
        .flatMap((one) => one.symbols.named(name).map((symbol) => ({ ...symbol, module: one.name }))),
      ...bpf
        .filter((code) => code.name === name && (module === undefined || module === 'bpf'))
        .map(bpfSymbol),
    ];
  }

  /** All symbols, as /proc/kallsyms lists them: of the image, of modules, of eBPF. */
  *all(): Generator<NamedSymbol> {
    yield* this.symbols ?? [];
    if (typeof this.loaded === 'string') return;
    for (const { name, symbols } of this.loaded.modules) {
      for (const symbol of symbols) yield { ...symbol, module: name };
    }
    yield* this.loaded.bpf.map(bpfSymbol);
  }

  at(address: VirtualAddress): Place {
    const frame = virtualFrameOf(address);
    const first = this.regions[0];
    if (first === undefined || frame < first.start) return { region: 'user' };
    const region = regionAt(this.regions, frame);
    if (region === 'direct map') return this.#inDirectMap(address, frame);
    // On a kernel without KASLR built in, modules begin where others have their image.
    if (region === 'modules' || region === 'kernel image window') return this.#inModules(address, region);
    if (!isOfImage(region)) return { region };
    const isBss = this.#bss !== undefined && this.#bss.start <= frame && frame < this.#bss.end;
    return {
      region: region === 'kernel data' && isBss ? 'kernel bss' : region,
      symbol: this.symbols?.at(address) ?? this.#exactly(address),
    };
  }

  #exactly(address: VirtualAddress): SymbolPlace | undefined {
    const name = this.#exact.get(address);
    return name === undefined
      ? undefined
      : { symbol: { name, address, type: '?' }, offset: 0, size: undefined };
  }

  #inModules(address: VirtualAddress, region: RegionName): Place {
    if (typeof this.loaded === 'string') return { region };
    for (const { name, parts, symbols } of this.loaded.modules) {
      const part = parts.find(({ start, end }) => start <= address && address < end);
      if (part === undefined) continue;
      const symbol = symbols.at(address);
      const isOfPart = symbol !== undefined && symbol.symbol.address >= part.start;
      return { region: 'modules', module: { name, part: part.kind }, symbol: isOfPart ? symbol : undefined };
    }
    const code = this.loaded.bpf.find(({ start, end }) => start <= address && address < end);
    if (code === undefined) return { region };
    const size = Number(code.end - code.start);
    return { region: 'BPF', symbol: { symbol: bpfSymbol(code), offset: Number(address - code.start), size } };
  }

  #inDirectMap(address: VirtualAddress, frame: VirtualFrame): Place {
    const guestFrame = frame - this.#root.directMap.start;
    const { image, distance } = this.sections;
    const inImage = guestFrame + distance;
    // Init memory that was freed is the image's no more.
    const isImage =
      image.start <= inImage &&
      inImage < image.end &&
      mappedFrame(this.#root, inImage as VirtualFrame) === guestFrame;
    if (isImage) {
      const other = virtualAddress(BigInt(inImage) * BigInt(PAGE_SIZE) + (address % BigInt(PAGE_SIZE)));
      return { region: 'direct map', alias: { address: other, place: this.at(other) } };
    }
    this.#crashKernel ??= this.#findCrashKernel?.() ?? [];
    const isCrash = this.#crashKernel.some(({ start, end }) => start <= guestFrame && guestFrame < end);
    return { region: isCrash ? 'crash kernel' : 'direct map' };
  }

  #address(name: string): VirtualAddress | undefined {
    return this.symbols?.named(name)[0]?.address;
  }

  /** The value of a pointer that the kernel keeps. */
  #pointer(memory: VirtualMemory, name: string): VirtualAddress | undefined {
    const at = this.#address(name);
    const bytes = at === undefined ? undefined : memory.read(at, 8);
    if (bytes === undefined) return undefined;
    return virtualAddress(new DataView(bytes.buffer).getBigUint64(0, true));
  }
}

function bpfSymbol({ name, start }: BpfCode): NamedSymbol {
  return { name, address: start, type: 't', module: 'bpf' };
}

function isOfImage(region: RegionName): boolean {
  return region === 'kernel text' || region === 'kernel rodata' || region === 'kernel data';
}

/** A number that VMCOREINFO writes in hexadecimal. */
function hexadecimal(vmcoreinfo: Vmcoreinfo | undefined, key: string): VirtualAddress | undefined {
  const digits = /^0x([0-9a-f]{1,16})$/i.exec(vmcoreinfo?.values.get(key) ?? '')?.[1];
  return digits === undefined ? undefined : virtualAddress(BigInt(`0x${digits}`));
}
