import {
  firstBehind,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualAddressOf,
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

/** The parts of memory that addresses are told to lie in: those of the kernel's half, the image and the direct map told finer, and the rest. */
export const PLACE_REGIONS = [
  ...REGION_NAMES,
  'kernel bss',
  'crash kernel',
  'BPF',
  'user',
  'non-canonical',
] as const;

/** What is at an address. */
export interface Place {
  /** The part of the kernel's half that it lies in; `user`; or `non-canonical`, in neither half: any access is a #GP (Intel SDM vol. 1, 3.3.7.1). */
  readonly region: (typeof PLACE_REGIONS)[number];
  /** The module that it lies in, and which part of it. */
  readonly module?: { readonly name: string; readonly part: ModulePartKind } | undefined;
  /** The symbol that it lies in or behind, where symbols are known. */
  readonly symbol?: SymbolPlace | undefined;
  /** In the direct map: the address by which the image has the same byte. */
  readonly alias?: { readonly address: VirtualAddress; readonly place: Place } | undefined;
}

/** Pages that follow each other and lie in one region. */
export interface PlacedPages {
  readonly start: VirtualFrame;
  /** Behind the last. */
  readonly end: VirtualFrame;
  /** What the first holds. */
  readonly place: Place;
}

/** A page where another region may begin. */
interface Edge {
  readonly end: number;
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

/** Pages of 64-bit virtual addresses. */
const VIRTUAL_FRAMES = 2 ** 52;
/** On a kernel without KASLR built in, modules begin where others have their image. */
const LOADED_REGIONS: readonly RegionName[] = ['modules', 'kernel image window'];

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
  /** By whether they are also of what was loaded, and of a crash kernel. */
  readonly #edgesOf: (readonly Edge[] | undefined)[] = [];
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
    const upperHalf = this.regions[0]?.start ?? VIRTUAL_FRAMES;
    if (frame < upperHalf) {
      // The lower half is as large as the upper one.
      return { region: frame < VIRTUAL_FRAMES - upperHalf ? 'user' : 'non-canonical' };
    }
    const region = regionAt(this.regions, frame);
    if (region === 'direct map') return this.#inDirectMap(address, frame);
    if (LOADED_REGIONS.includes(region)) return this.#inModules(address, region);
    if (!isOfImage(region)) return { region };
    const isBss = this.#bss !== undefined && this.#bss.start <= frame && frame < this.#bss.end;
    return {
      region: region === 'kernel data' && isBss ? 'kernel bss' : region,
      symbol: this.symbols?.at(address) ?? this.#exactly(address),
    };
  }

  /**
   * The pages from `start` up to `end`, cut wherever another region, a part of a module or BPF code begins or ends: one large page of the
   * JIT holds code of many programs. A page that holds any BPF code is of it, though its first byte be none.
   */
  *pagesByPlace(start: VirtualFrame, end: VirtualFrame): Generator<PlacedPages> {
    const edges = this.#edges(start, end);
    let at = start;
    for (let next = firstBehind(edges, at); at < end; next++) {
      const cut = Math.min(edges[next]?.end ?? end, end) as VirtualFrame;
      yield { start: at, end: cut, place: this.#ofPage(at) };
      at = cut;
    }
  }

  #ofPage(frame: VirtualFrame): Place {
    const address = virtualAddressOf(frame);
    const place = this.at(address);
    const mayHoldMore = LOADED_REGIONS.some((name) => name === place.region) && place.module === undefined;
    if (!mayHoldMore || typeof this.loaded === 'string') return place;
    const code = this.loaded.bpf.find((one) => address < one.end && virtualFrameOf(one.start) <= frame);
    return code === undefined ? place : this.at(code.start);
  }

  /** What was loaded, and where a crash kernel is, is looked for only where pages may be of it. */
  #edges(start: VirtualFrame, end: VirtualFrame): readonly Edge[] {
    const touches = (names: readonly RegionName[]): boolean =>
      this.regions.some((one) => one.start < end && start < one.end && names.includes(one.name));
    const loaded = touches(LOADED_REGIONS);
    const direct = touches(['direct map']);
    const which = (loaded ? 1 : 0) + (direct ? 2 : 0);
    this.#edgesOf[which] ??= edgesOf([
      ...this.regions,
      ...(this.#bss === undefined ? [] : [this.#bss]),
      ...(loaded ? loadedPages(this.loaded) : []),
      ...(direct ? this.#crashKernelPages() : []),
    ]);
    return this.#edgesOf[which];
  }

  #crashKernelPages(): Frames[] {
    const { start: base } = this.#root.directMap;
    this.#crashKernel ??= this.#findCrashKernel?.() ?? [];
    return this.#crashKernel.map(({ start, end }) => ({ start: base + start, end: base + end }));
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

/** Where `ranges` begin and end, ascending. */
function edgesOf(ranges: readonly Frames[]): Edge[] {
  const places = new Set(ranges.flatMap(({ start, end }) => [start, end]));
  return [...places].sort((a, b) => a - b).map((end) => ({ end }));
}

/** The pages of each part of a module, and of each piece of BPF code, whole. */
function loadedPages(loaded: LoadedCode | string): Frames[] {
  if (typeof loaded === 'string') return [];
  return [...loaded.modules.flatMap(({ parts }) => parts), ...loaded.bpf].map(({ start, end }) => ({
    start: virtualFrameOf(start),
    end: virtualFrameOf(virtualAddress(end - 1n)) + 1,
  }));
}

function isOfImage(region: RegionName): boolean {
  return region === 'kernel text' || region === 'kernel rodata' || region === 'kernel data';
}

/** A number that VMCOREINFO writes in hexadecimal. */
function hexadecimal(vmcoreinfo: Vmcoreinfo | undefined, key: string): VirtualAddress | undefined {
  const digits = /^0x([0-9a-f]{1,16})$/i.exec(vmcoreinfo?.values.get(key) ?? '')?.[1];
  return digits === undefined ? undefined : virtualAddress(BigInt(`0x${digits}`));
}
