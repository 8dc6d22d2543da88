import { virtualAddress } from '@heki/physical-memory';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { SymbolError } from './error.ts';
import { type KernelSymbol, type SymbolTable, symbolTableOf } from './symbol-table.ts';

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
  let count = 0;
  let hidden = 0;
  function* symbols(): Generator<KernelSymbol, void> {
    for (const symbol of symbolsIn(text)) {
      count++;
      if (symbol.address === 0n) hidden++;
      yield symbol;
    }
  }
  const table = symbolTableOf(symbols());
  if (count === 0) throw new SymbolError('no symbols: expected lines as "ffffffff81000000 T _text"');
  if (hidden === count) {
    throw new SymbolError('all addresses are zero: the kernel hides them (kptr_restrict); read it as root');
  }
  return table;
}

/** One after the other: a hostile file of the size of a large one has millions. */
function* symbolsIn(text: string): Generator<KernelSymbol, void> {
  let start = 0;
  for (let number = 1; start < text.length; number++) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    const line = text.slice(start, end);
    start = end + 1;
    if (line === '') continue;
    const [, digits = '', type = '', name = '', module] = LINE.exec(line) ?? [];
    if (name === '') {
      throw new SymbolError(`line ${number} is not a symbol: expected one as "ffffffff81000000 T _text"`);
    }
    if (name.length > DUMP_LIMITS.nameCharacters) {
      throw new SymbolError(
        `line ${number} has a name of ${name.length} characters: expected at most ${DUMP_LIMITS.nameCharacters}`,
      );
    }
    if (module === undefined) yield { name, address: virtualAddress(BigInt(`0x${digits}`)), type };
  }
}
