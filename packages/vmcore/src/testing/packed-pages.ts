import { inflatedFixture } from './fixtures.ts';

/** Pages, and what the libraries that makedumpfile uses make of each. */
export interface PackedPages {
  /** The first ones are those of the dump `stage61-rest_init`, in order. */
  readonly tablePages: number;
  readonly pages: readonly Buffer[];
  readonly packed: Readonly<Record<Packing, readonly Buffer[]>>;
}

export type Packing = 'zlib' | 'lzo' | 'lzo999' | 'snappy' | 'zstd';

/** Each way of packing with its flag in a page's descriptor; `lzo999` is what liblzo2 packs best, and makedumpfile does not use. */
export const PACKING_FLAGS: Readonly<Record<Packing, number>> = {
  zlib: 1,
  lzo: 2,
  lzo999: 2,
  snappy: 4,
  zstd: 32,
};

export function packedPages(): PackedPages {
  const json = JSON.parse(inflatedFixture('formats/packed-pages.json.gz').toString());
  const decode = (texts: readonly string[]) => texts.map((text) => Buffer.from(text, 'base64'));
  return {
    tablePages: json.tablePages,
    pages: decode(json.pages),
    packed: {
      zlib: decode(json.zlib),
      lzo: decode(json.lzo),
      lzo999: decode(json.lzo999),
      snappy: decode(json.snappy),
      zstd: decode(json.zstd),
    },
  };
}
