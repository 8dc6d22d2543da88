import { hex, type VirtualAddress } from '@heki/physical-memory';
import type { KernelNames, Place } from '@heki/symbols';

/** What reports ask for what is at an address. */
export type AddressNames = Pick<KernelNames, 'at'>;

/** `vfs_read+0x10`; `undefined` where no symbol is known. */
export function symbolText({ symbol, module, alias }: Place): string | undefined {
  if (symbol !== undefined) {
    const { symbol: named, offset } = symbol;
    const of = module === undefined ? '' : ` [${module.name}]`;
    return `${named.name}${offset === 0 ? '' : `+${hex(offset)}`}${of}`;
  }
  return alias === undefined ? undefined : symbolText(alias.place);
}

/** The part of memory that it lies in: `kernel text`, `module xfs text`. */
export function regionText({ region, module }: Place): string {
  return module === undefined ? region : `module ${module.name} ${module.part}`;
}

/** What is at an address, in words: `vfs_read+0x10, in kernel text`. */
export function placeText(place: Place): string {
  const { alias } = place;
  const region = regionText(place);
  const symbol = symbolText(place);
  if (alias !== undefined) {
    const what = symbol === undefined ? regionText(alias.place) : `${symbol}, in ${regionText(alias.place)}`;
    return `${region}, of ${what}, ${hex(alias.address)}`;
  }
  return symbol === undefined ? region : `${symbol}, in ${region}`;
}

/** An address with what is there: `0xffffffffc0001000 (module xfs text)`. */
export function withPlace(address: VirtualAddress, names: AddressNames | undefined): string {
  return names === undefined ? hex(address) : `${hex(address)} (${placeText(names.at(address))})`;
}

/** The same as programs read it. */
export function placeJson({ region, module, symbol, alias }: Place): object {
  return {
    region,
    module: module ?? null,
    symbol: symbol === undefined ? null : { name: symbol.symbol.name, offset: hex(symbol.offset) },
    aliasOf: alias === undefined ? null : { va: hex(alias.address), ...placeJson(alias.place) },
  };
}
