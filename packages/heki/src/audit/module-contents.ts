import {
  KernelImageError,
  type ModuleObject,
  type PlacedModule,
  parseModule,
  placeModule,
  segmentAt,
} from '@heki/kernel-image';
import {
  type ComparedModule,
  compareModule,
  createImageView,
  type ImageAddress,
  type ImageSymbols,
  imageAddress,
  type RunningKernel,
} from '@heki/patch-sites';
import type { VirtualAddress } from '@heki/physical-memory';
import type { KernelModule, KernelNames, SymbolTable } from '@heki/symbols';
import { modulesOfPackage } from '../image/package-modules.ts';

/** What the kernel's image has, and how it runs. */
interface RunningImage {
  readonly symbols: ImageSymbols;
  readonly running: RunningKernel;
}

/** A loaded module with its file. */
interface ModuleWithFile {
  readonly module: KernelModule;
  readonly object: ModuleObject;
}

/**
 * The modules that are loaded beside their files in the package at `path`: what of their code and constants differs. Where their sections are the
 * guest tells, and whether a file is theirs its build id.
 */
export async function compareModules(
  path: string,
  { loaded }: Pick<KernelNames, 'loaded'>,
  table: SymbolTable,
  image: RunningImage,
): Promise<{ readonly modules?: ComparedModule[]; readonly modulesLeftOut?: string[] }> {
  if (typeof loaded === 'string' || loaded.modules.length === 0) return {};
  const files = await modulesOfPackage(path, new Set(loaded.modules.map(({ name }) => name)));
  if (files.size === 0) return {};
  const known = loaded.modules.flatMap((module): ModuleWithFile[] => {
    const object = objectOf(files.get(module.name));
    return object !== undefined && hasItsBuild(module, object, image.running) ? [{ module, object }] : [];
  });
  // What modules have for each other: first every module alone, then with what the others have.
  const exported = new Map<string, VirtualAddress>();
  for (const one of known) {
    for (const { name, address, isGlobal } of placed(one, () => undefined).symbols) {
      if (isGlobal && !exported.has(name)) exported.set(name, address);
    }
  }
  const resolve = (name: string) => addressIn(table, name) ?? exported.get(name);
  const modules = known.map((one) => comparedModule(one.module.name, placed(one, resolve), image));
  const names = new Set(modules.map(({ name }) => name));
  const leftOut = loaded.modules.map(({ name }) => name).filter((name) => !names.has(name));
  return { modules, modulesLeftOut: leftOut };
}

function objectOf(file: Uint8Array | undefined): ModuleObject | undefined {
  if (file === undefined) return undefined;
  try {
    return parseModule(file);
  } catch (error) {
    if (error instanceof KernelImageError) return undefined;
    throw error;
  }
}

const BUILD_ID = '.note.gnu.build-id';

/** Whether the module in memory has the build id of its file. */
function hasItsBuild({ sections }: KernelModule, object: ModuleObject, { live }: RunningKernel): boolean {
  const id = object.sections.find(({ name }) => name === BUILD_ID)?.bytes;
  const at = sections.find(({ name }) => name === BUILD_ID)?.address;
  const there = id === undefined || at === undefined ? undefined : live(imageAddress(at), id.length);
  return there?.every((byte, index) => byte === id?.[index]) ?? false;
}

function placed(
  { module, object }: ModuleWithFile,
  resolve: (name: string) => bigint | undefined,
): PlacedModule {
  const places = new Map(module.sections.map(({ name, address }) => [name, address]));
  return placeModule(object, (name) => places.get(name), resolve);
}

/** Modules see what is exported, which is global: of several symbols of one name, the one with a capital letter. */
function addressIn(table: SymbolTable, name: string): VirtualAddress | undefined {
  const all = table.named(name);
  return (all.find(({ type }) => type !== type.toLowerCase()) ?? all[0])?.address;
}

function comparedModule(
  name: string,
  { segments, sections, symbols, unresolved }: PlacedModule,
  { symbols: ofKernel, running }: RunningImage,
): ComparedModule {
  // A field whose value is not known is not compared.
  for (const { address, size } of unresolved) {
    const segment = segmentAt({ segments }, address, size);
    const now = running.live(imageAddress(address), size);
    if (segment !== undefined && now !== undefined) segment.bytes.set(now, Number(address - segment.address));
  }
  const sealed = sections
    .filter((one) => !one.isWritable && !one.name.startsWith('.init'))
    .filter((one) => one.isExecutable || one.name.startsWith('.rodata'))
    .map((one) => {
      const start = imageAddress(one.address);
      return { name: one.name, start, end: start + one.size, isCode: one.isExecutable };
    });
  const view = createImageView({ segments, sections }, symbolsOf(symbols, ofKernel));
  return compareModule(name, view, sealed, running);
}

/** Of the module first, then of the kernel; those of tables, which are listed by prefix, of the module alone. */
function symbolsOf(symbols: PlacedModule['symbols'], kernel: ImageSymbols): ImageSymbols {
  const names = new Map<string, ImageAddress>();
  const places = new Map<ImageAddress, string[]>();
  for (const { name, address } of symbols) {
    const at = imageAddress(address);
    if (!names.has(name)) names.set(name, at);
    places.set(at, [...(places.get(at) ?? []), name]);
  }
  return {
    named: (name) => names.get(name) ?? kernel.named(name),
    at: (address) => places.get(address) ?? kernel.at(address),
    *withPrefix(prefix) {
      for (const entry of names) if (entry[0].startsWith(prefix)) yield entry;
    },
  };
}
