import { hex, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { parseSymbolExpression, type SymbolExpression } from '@heki/symbols';
import { UsageError } from '../failure.ts';
import { parseVirtualAddress } from '../hex.ts';
import type { Names } from './names.ts';

/** Whether `text` is an address by its digits: a symbol whose name is one, as `add`, is asked for as `add+0`. */
export function isHexadecimal(text: string): boolean {
  return /^(?:0x.*|[0-9a-f][0-9a-f_]*)$/i.test(text);
}

/**
 * The address that people name: hexadecimal, or `SYMBOL+OFFSET`.
 *
 * @param names what symbols are looked up in
 * @throws {UsageError} when it is not an address, no symbol has that name, or several have
 */
export function resolveAddress(text: string, names: Names | undefined): VirtualAddress {
  if (isHexadecimal(text)) return parseVirtualAddress(text);
  const expression = parseSymbolExpression(text);
  if (expression === undefined) {
    throw new UsageError(
      `"${text}" is not a virtual address: expected at most 16 hexadecimal digits, as 0xffffffff81000000, or SYMBOL+OFFSET, as vfs_read+0x10`,
    );
  }
  const found = symbolAddress(expression, names);
  const address = BigInt.asUintN(64, found + expression.offset);
  if (address !== found + expression.offset) {
    throw new UsageError(`"${text}" lies outside the address space: ${expression.name} is at ${hex(found)}`);
  }
  return virtualAddress(address);
}

function symbolAddress({ name, module }: SymbolExpression, names: Names | undefined): VirtualAddress {
  const addresses = [...new Set(names?.kernel.named(name, module).map(({ address }) => address))];
  const [address, another] = addresses;
  if (address === undefined) {
    const other = module === undefined ? names?.beside.get(name) : undefined;
    if (other !== undefined) return other;
    const why = names?.source.kind === 'none' ? `: ${names.source.why} (--symbols names a System.map)` : '';
    throw new UsageError(
      `"${name}" is not a virtual address, and no symbol of that name is known${module === undefined ? '' : ` of module ${module}`}${why}`,
    );
  }
  if (another !== undefined) {
    const listed = addresses.slice(0, 4).map((one) => hex(one));
    throw new UsageError(
      `${addresses.length} symbols are named ${name}: expected one, or an address: ${listed.join(', ')}${addresses.length > 4 ? ', …' : ''}`,
    );
  }
  return address;
}
