import { hex, type VirtualAddress } from '@heki/physical-memory';
import { type KernelModule, type NamedSymbol, type Place, parseSymbolExpression } from '@heki/symbols';
import { ExitCode, InputError } from '../failure.ts';
import { hex16 } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import type { Names } from '../names/names.ts';
import { type NamesOptions, openNames } from '../names/open-names.ts';
import { placeJson, placeText } from '../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { openSnapshot } from '../open-snapshot.ts';
import { count } from '../quantity.ts';
import { readSidecar } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';
import type { AddressSpaceOptions } from '../snapshot.ts';
import { tableWarnings, type Warning } from '../warning.ts';

/** Options of `heki symbols`. */
export interface SymbolsOptions extends AddressSpaceOptions, NamesOptions {
  /** Lists modules instead of symbols. */
  readonly modules?: boolean;
  readonly json?: boolean;
}

/** What is told. */
interface Answer {
  readonly names: Names;
  readonly symbols: Iterable<NamedSymbol>;
  readonly modules: readonly KernelModule[] | undefined;
  /** Of the address that was asked for. */
  readonly at: { readonly address: VirtualAddress; readonly place: Place } | undefined;
  /** Whether modules had to be looked at: reading what types a kernel has takes longer than all else. */
  readonly asksModules: boolean;
  readonly warnings: readonly Warning[];
}

/**
 * `heki symbols SNAPSHOT [NAME|ADDRESS]`: all symbols of the kernel as /proc/kallsyms lists them, those of a name or a pattern, or what is
 * at an address. Exit code 1 when there is none.
 */
export async function symbols(
  path: string,
  what: string | undefined,
  options: SymbolsOptions,
  io: CommandIo,
): Promise<number> {
  const { core, tables } = openSnapshot(path, options);
  const names = await openNames(core, tables, await readSidecar(path), options);
  const warnings = [...tableWarnings(core, tables), ...names.warnings];
  if (what === undefined && names.source.kind === 'none') {
    throw new InputError(
      `no symbols are known: ${names.source.why} (--symbols names a System.map of this kernel)`,
      { file: path },
    );
  }
  const answer =
    options.modules === true ? modulesOf(path, names, warnings) : answerTo(what, names, warnings);
  const isEmpty = what !== undefined && answer.at === undefined && [...answer.symbols].length === 0;
  await writeReport(
    'symbols',
    {
      json: () => toJson(answer),
      text: () => describe(answer),
    },
    options,
    io,
  );
  if (isEmpty) await io.stderr.write(`heki: no symbol ${what} is known${whyNone(names)}\n`);
  return isEmpty ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/** @throws {InputError} when it is not known what is loaded */
function modulesOf(path: string, names: Names, warnings: readonly Warning[]): Answer {
  const { loaded } = names.kernel;
  if (typeof loaded === 'string') throw new InputError(`modules ${loaded}`, { file: path });
  const broken = loaded.brokenLists.map(({ name }) => ({
    id: 'broken-list',
    message: `the kernel's list ${name} does not come back to its head: what it leads to is not in the dump, or it was tampered with`,
  }));
  return {
    names,
    symbols: [],
    modules: loaded.modules,
    at: undefined,
    asksModules: true,
    warnings: [...warnings, ...broken],
  };
}

function answerTo(what: string | undefined, names: Names, warnings: readonly Warning[]): Answer {
  const told = { names, modules: undefined, asksModules: true, warnings };
  if (what === undefined) return { ...told, symbols: names.kernel.all(), at: undefined };
  if (/[*?]/.test(what)) return { ...told, symbols: matching(names.kernel.all(), what), at: undefined };
  const isName = !isHexadecimal(what) && parseSymbolExpression(what)?.offset === 0n;
  if (isName) {
    const found = symbolsNamed(what, names);
    const isOfImage = found[0] !== undefined && found[0].module === undefined;
    return { ...told, symbols: found, at: undefined, asksModules: !isOfImage };
  }
  const address = resolveAddress(what, names);
  const place = names.kernel.at(address);
  return { ...told, symbols: [], at: { address, place }, asksModules: place.region === 'modules' };
}

/** Those of the kernel's image, or the one of what stands beside the snapshot. */
function symbolsNamed(what: string, { kernel, beside }: Names): NamedSymbol[] {
  const { name = what, module } = parseSymbolExpression(what) ?? {};
  const found = kernel.named(name, module);
  const address = beside.get(name);
  if (found.length > 0 || address === undefined) return found;
  return [{ name, address, type: '?' }];
}

function matching(symbols: Iterable<NamedSymbol>, pattern: string): NamedSymbol[] {
  const parts = pattern.split('*').map((part) => part.split('?'));
  const found: NamedSymbol[] = [];
  for (const symbol of symbols) if (matches(symbol.name, parts)) found.push(symbol);
  return found;
}

/** Whether `name` has `parts`, each of which has a question mark between its own, one after the other: in time linear in the name. */
function matches(name: string, parts: readonly (readonly string[])[]): boolean {
  const lengthOf = (part: readonly string[]): number => part.join('?').length;
  const isAt = (part: readonly string[], at: number): boolean => {
    let from = at;
    for (const text of part) {
      if (!name.startsWith(text, from)) return false;
      from += text.length + 1;
    }
    return from - 1 <= name.length;
  };
  const first = parts[0] ?? [''];
  const last = parts.at(-1) ?? [''];
  if (parts.length === 1) return lengthOf(first) === name.length && isAt(first, 0);
  if (!isAt(first, 0) || !isAt(last, name.length - lengthOf(last))) return false;
  let at = lengthOf(first);
  for (const part of parts.slice(1, -1)) {
    while (at <= name.length && !isAt(part, at)) at++;
    at += lengthOf(part);
  }
  return at <= name.length - lengthOf(last);
}

function* describe({ names, symbols, modules, at, asksModules, warnings }: Answer): Generator<string> {
  yield* headLines(names, asksModules).map((line) => `# ${line}`);
  yield* warnings.map(({ message }) => `# warning: ${message}`);
  if (at !== undefined) yield `${hex16(at.address)}  ${placeText(at.place)}`;
  for (const { address, type, name, module } of symbols) {
    yield `${hex16(address)} ${type} ${name}${module === undefined ? '' : `\t[${module}]`}`;
  }
  for (const module of modules ?? []) yield* moduleLines(module);
}

function* moduleLines({ name, parts, sections }: KernelModule): Generator<string> {
  yield name;
  for (const { kind, start, end } of parts) {
    yield `  ${hex16(start)}-${hex16(end - 1n)}  ${kind}`;
    for (const section of sections) {
      if (start <= section.address && section.address < end)
        yield `    ${hex16(section.address)}  ${section.name}`;
    }
  }
}

/** Where the symbols come from, and how far KASLR moved them, as lines. */
function headLines({ kernel, source, kaslr }: Names, asksModules: boolean): string[] {
  const lines: string[] = [];
  const total = count(kernel.symbols?.size ?? 0, 'symbol');
  if (source.kind === 'kallsyms') {
    const by = source.by === 'vmcoreinfo' ? 'where VMCOREINFO says' : 'found by its structure';
    lines.push(`${total} of the kernel's image, from kallsyms in its memory, ${by}`);
  } else if (source.kind === 'file') lines.push(`${total} of the kernel's image, from ${source.path}`);
  else lines.push(`no symbols: ${source.why}`);
  if (source.kind !== 'none' && asksModules && typeof kernel.loaded === 'string')
    lines.push(`modules ${kernel.loaded}`);
  if (kaslr !== undefined)
    lines.push(`the image is ${hex(kaslr.offset)} above where it was linked, ${KASLR_TEXTS[kaslr.from]}`);
  return lines;
}

const KASLR_TEXTS = {
  vmcoreinfo: 'by VMCOREINFO',
  symbols: 'by the file of symbols',
  'default-link-address': 'if its _text was linked at 0xffffffff81000000, as it is by default',
} as const;

function whyNone({ source }: Names): string {
  return source.kind === 'none' ? `: ${source.why}` : '';
}

function toJson({ names, symbols, modules, at, warnings }: Answer): object {
  const { kernel, source, kaslr } = names;
  return {
    source:
      source.kind === 'kallsyms'
        ? { kind: source.kind, foundBy: source.by }
        : source.kind === 'file'
          ? { kind: source.kind, path: source.path }
          : { kind: source.kind, why: source.why },
    total: kernel.symbols?.size ?? 0,
    kaslr: kaslr === undefined ? null : { offset: hex(kaslr.offset), from: kaslr.from },
    address: at === undefined ? null : { va: hex(at.address), ...placeJson(at.place) },
    symbols: Array.from(symbols, ({ name, address, type, module }) => ({
      name,
      va: hex(address),
      type,
      ...(module === undefined ? {} : { module }),
    })),
    modules:
      modules?.map(({ name, parts, sections }) => ({
        name,
        parts: parts.map(({ kind, start, end }) => ({ kind, start: hex(start), end: hex(end) })),
        sections: sections.map((section) => ({ name: section.name, va: hex(section.address) })),
      })) ?? null,
    warnings,
  };
}
