import { hex, type VirtualAddress } from '@heki/physical-memory';
import { type KernelSymbol, type Place, parseSymbolExpression } from '@heki/symbols';
import { ExitCode, InputError } from '../failure.ts';
import { hex16 } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { type Names, type NamesOptions, openNames } from '../names/open-names.ts';
import { placeJson, placeText } from '../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { count } from '../quantity.ts';
import { writeReport } from '../report/write-report.ts';
import { readSidecar } from '../sidecar.ts';
import { type AddressSpaceOptions, openSnapshot } from '../snapshot.ts';
import { tableWarnings, type Warning, warningLines } from '../warning.ts';

/** Options of `heki symbols`. */
export interface SymbolsOptions extends AddressSpaceOptions, NamesOptions {
  readonly json?: boolean;
}

/** What is told. */
interface Answer {
  readonly names: Names;
  readonly symbols: Iterable<KernelSymbol>;
  /** Of the address that was asked for. */
  readonly at: { readonly address: VirtualAddress; readonly place: Place } | undefined;
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
  const warnings = tableWarnings(core, tables);
  if (what === undefined && names.source.kind === 'none') {
    throw new InputError(
      `no symbols are known: ${names.source.why} (--symbols names a System.map of this kernel)`,
      { file: path },
    );
  }
  const answer = answerTo(what, names, warnings);
  const isEmpty = what !== undefined && answer.at === undefined && [...answer.symbols].length === 0;
  await writeReport(
    'symbols',
    {
      json: () => toJson(answer),
      text: ({ colours }) => [...describe(answer), ...warningLines(warnings, colours)],
    },
    options,
    io,
  );
  if (isEmpty) await io.stderr.write(`heki: no symbol ${what} is known${whyNone(names)}\n`);
  return isEmpty ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

function answerTo(what: string | undefined, names: Names, warnings: readonly Warning[]): Answer {
  const all = names.kernel.symbols ?? [];
  if (what === undefined) return { names, symbols: all, at: undefined, warnings };
  if (/[*?]/.test(what)) return { names, symbols: matching(all, what), at: undefined, warnings };
  const isName = !isHexadecimal(what) && parseSymbolExpression(what)?.offset === 0n;
  if (isName) return { names, symbols: symbolsNamed(what, names), at: undefined, warnings };
  const address = resolveAddress(what, names);
  return { names, symbols: [], at: { address, place: names.kernel.at(address) }, warnings };
}

/** Those of the kernel's image, or the one of what stands beside the snapshot. */
function symbolsNamed(name: string, { kernel, beside }: Names): KernelSymbol[] {
  const found = kernel.named(name);
  const address = beside.get(name);
  if (found.length > 0 || address === undefined) return found;
  return [{ name, address, type: '?' }];
}

function matching(symbols: Iterable<KernelSymbol>, pattern: string): KernelSymbol[] {
  const parts = pattern.split('*').map((part) => part.split('?'));
  const found: KernelSymbol[] = [];
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

function* describe({ names, symbols, at }: Answer): Generator<string> {
  yield* headLines(names).map((line) => `# ${line}`);
  if (at !== undefined) yield `${hex16(at.address)}  ${placeText(at.place)}`;
  for (const { address, type, name } of symbols) yield `${hex16(address)} ${type} ${name}`;
}

/** Where the symbols come from, and how far KASLR moved them, as lines. */
function headLines({ kernel, source, kaslr }: Names): string[] {
  const lines: string[] = [];
  const total = count(kernel.symbols?.size ?? 0, 'symbol');
  if (source.kind === 'kallsyms') {
    const by = source.by === 'vmcoreinfo' ? 'where VMCOREINFO says' : 'found by its structure';
    lines.push(`${total} of the kernel's image, from kallsyms in its memory, ${by}`);
  } else if (source.kind === 'file') lines.push(`${total} of the kernel's image, from ${source.path}`);
  else lines.push(`no symbols: ${source.why}`);
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

function toJson({ names, symbols, at, warnings }: Answer): object {
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
    symbols: Array.from(symbols, ({ name, address, type }) => ({ name, va: hex(address), type })),
    warnings,
  };
}
