import { hex } from '@heki/physical-memory';
import type { Place } from '@heki/symbols';

/** `vfs_read+0x10`; `undefined` where no symbol is known. */
export function symbolText({ symbol, alias }: Place): string | undefined {
  if (symbol !== undefined) {
    const { symbol: named, offset } = symbol;
    return offset === 0 ? named.name : `${named.name}+${hex(offset)}`;
  }
  return alias === undefined ? undefined : symbolText(alias.place);
}

/** What is at an address, in words: `vfs_read+0x10, in kernel text`. */
export function placeText(place: Place): string {
  const { region, alias } = place;
  const symbol = symbolText(place);
  if (alias !== undefined) {
    const what = symbol === undefined ? alias.place.region : `${symbol}, in ${alias.place.region}`;
    return `${region}, of ${what}, ${hex(alias.address)}`;
  }
  return symbol === undefined ? region : `${symbol}, in ${region}`;
}

/** The same as programs read it. */
export function placeJson({ region, symbol, alias }: Place): object {
  return {
    region,
    symbol: symbol === undefined ? null : { name: symbol.symbol.name, offset: hex(symbol.offset) },
    aliasOf: alias === undefined ? null : { va: hex(alias.address), ...placeJson(alias.place) },
  };
}
