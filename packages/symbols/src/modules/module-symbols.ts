import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { type KernelStruct, type KernelStructs, printableText } from '../kernel-structs.ts';
import { type KernelSymbol, type SymbolTable, symbolTableOf } from '../symbol-table.ts';

/** Elf64_Sym: st_name, st_info, st_other, st_shndx, st_value, st_size. */
const SYMBOL_BYTES = 24;
const MOST_SYMBOLS = 2 ** 18;
const LONGEST_NAME = 1024;
const MOST_NAME_BYTES = 2 ** 24;
/** A `kernel_symbol` with places that count from themselves (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS): value, name, namespace. */
const EXPORT_BYTES = 12;
const MOST_EXPORTS = 2 ** 16;

/** The symbols of a module (`struct mod_kallsyms`), as /proc/kallsyms lists them: in capitals what it exports, unnamed ones left out. */
export function readModuleSymbols(structs: KernelStructs, module: KernelStruct): SymbolTable {
  const at = module.pointer('kallsyms');
  const tables = at === undefined || at === 0n ? undefined : structs.read('mod_kallsyms', at);
  const symtab = tables?.pointer('symtab');
  const strtab = tables?.pointer('strtab');
  const typetab = tables?.pointer('typetab');
  const count = tables?.uint('num_symtab') ?? 0;
  if (symtab === undefined || strtab === undefined || count === 0 || count > MOST_SYMBOLS)
    return symbolTableOf([]);
  const entries = structs.bytes(symtab, count * SYMBOL_BYTES);
  if (entries === undefined) return symbolTableOf([]);
  const types = typetab === undefined ? undefined : structs.bytes(typetab, count);
  const view = new DataView(entries.buffer);
  const names = readNames(structs, strtab, view, count);
  const exported = exportedValues(structs, module);
  const symbols: KernelSymbol[] = [];
  for (let index = 0; index < count; index++) {
    const entry = index * SYMBOL_BYTES;
    const name = names(view.getUint32(entry, true));
    if (name === '') continue;
    const address = virtualAddress(view.getBigUint64(entry + 8, true));
    // Before Linux 5.2, and for tools alone, the type stood in the symbol's own st_info.
    const letter = String.fromCharCode(types?.[index] ?? entries[entry + 4] ?? 0);
    const type = /^[a-z]$/i.test(letter) ? letter : '?';
    const isExported = exported.get(address)?.has(name) ?? false;
    symbols.push({ name, address, type: isExported ? type.toUpperCase() : type.toLowerCase() });
  }
  return symbolTableOf(symbols);
}

/** What gives the name at an offset of the strings: they are read once, as far as names are asked for. */
function readNames(
  structs: KernelStructs,
  strtab: VirtualAddress,
  entries: DataView,
  count: number,
): (offset: number) => string {
  let last = 0;
  for (let index = 0; index < count; index++) {
    const offset = entries.getUint32(index * SYMBOL_BYTES, true);
    if (offset < MOST_NAME_BYTES) last = Math.max(last, offset);
  }
  const all = structs.bytes(strtab, last);
  const end = structs.text(virtualAddress(strtab + BigInt(last)), LONGEST_NAME);
  return (offset) => {
    if (offset === last) return end ?? '';
    return all === undefined || offset > last
      ? ''
      : printableText(all.subarray(offset, offset + LONGEST_NAME));
  };
}

/** The names of what a module exports to all, not only to GPL modules, by address: what the kernel itself writes in capitals (is_exported). */
function exportedValues(
  structs: KernelStructs,
  module: KernelStruct,
): ReadonlyMap<bigint, ReadonlySet<string>> {
  const values = new Map<bigint, Set<string>>();
  const at = module.pointer('syms');
  const count = module.uint('num_syms') ?? 0;
  if (at === undefined || count === 0 || count > MOST_EXPORTS) return values;
  const bytes = structs.bytes(at, count * EXPORT_BYTES);
  if (bytes === undefined) return values;
  const view = new DataView(bytes.buffer);
  for (let place = 0; place < bytes.length; place += EXPORT_BYTES) {
    const own = at + BigInt(place);
    const value = BigInt.asUintN(64, own + BigInt(view.getInt32(place, true)));
    const nameAt = BigInt.asUintN(64, own + 4n + BigInt(view.getInt32(place + 4, true)));
    const name = structs.text(virtualAddress(nameAt), LONGEST_NAME);
    if (name === undefined) continue;
    const known = values.get(value) ?? new Set();
    values.set(value, known.add(name));
  }
  return values;
}
