import { virtualAddress } from '@heki/physical-memory';
import { SymbolError } from './error.ts';
import { type KernelSymbol, SymbolTable } from './symbol-table.ts';

/** A line of System.map or /proc/kallsyms: an address, a type, a name; behind a tab the module. */
const LINE = /^([0-9a-f]{8,16}) ([a-zA-Z?]) ([!-~]+)(?:[ \t]+\[([!-~]+)\])?[ \t\r]*$/i;
/** What Debian ships in place of its System.map. */
const STUB = /The real System\.map is in the (\S+) package/;

/**
 * The symbols of a System.map, as they were linked, or of a /proc/kallsyms, as they were then; those of modules are left out.
 *
 * @throws {SymbolError} for a line that is not of one, a file without symbols, one whose addresses are hidden, and Debian's stub
 */
export function parseSystemMap(text: string): SymbolTable {
  const stub = STUB.exec(text);
  if (stub !== null) {
    throw new SymbolError(
      `this is Debian's stub of a System.map, without symbols: the real one is in the package ${stub[1]}`,
    );
  }
  const symbols: KernelSymbol[] = [];
  let hidden = 0;
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const [, digits = '', type = '', name = '', module] = LINE.exec(line) ?? [];
    if (name === '') {
      throw new SymbolError(`line ${index + 1} is not a symbol: expected one as "ffffffff81000000 T _text"`);
    }
    if (module !== undefined) continue;
    const address = virtualAddress(BigInt(`0x${digits}`));
    if (address === 0n) hidden++;
    symbols.push({ name, address, type });
  }
  if (symbols.length === 0) throw new SymbolError('no symbols: expected lines as "ffffffff81000000 T _text"');
  if (hidden === symbols.length) {
    throw new SymbolError('all addresses are zero: the kernel hides them (kptr_restrict); read it as root');
  }
  return SymbolTable.of(symbols);
}
