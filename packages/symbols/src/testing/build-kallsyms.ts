/** The orders in which Linux has laid the tables. */
export const KALLSYMS_LAYOUTS = ['until 6.1', '6.2 to 6.3', 'from 6.4', 'from 7.0'] as const;
export type KallsymsLayout = (typeof KALLSYMS_LAYOUTS)[number];

/** A symbol to encode: its type and name, and its address as a signed number. */
export interface PlainSymbol {
  readonly text: string;
  readonly address: number;
}

/** Tables of kallsyms as bytes, and where each is among them. */
export interface BuiltKallsyms {
  readonly bytes: Uint8Array;
  readonly at: Readonly<Record<Table, number>>;
}

type Table =
  | 'offsets'
  | 'relativeBase'
  | 'count'
  | 'names'
  | 'markers'
  | 'seqs'
  | 'tokenTable'
  | 'tokenIndex';

const ORDERS: Readonly<Record<KallsymsLayout, readonly Table[]>> = {
  'until 6.1': ['offsets', 'relativeBase', 'count', 'names', 'markers', 'tokenTable', 'tokenIndex'],
  '6.2 to 6.3': ['offsets', 'relativeBase', 'count', 'names', 'markers', 'seqs', 'tokenTable', 'tokenIndex'],
  'from 6.4': ['count', 'names', 'markers', 'tokenTable', 'tokenIndex', 'offsets', 'relativeBase', 'seqs'],
  'from 7.0': ['count', 'names', 'markers', 'tokenTable', 'tokenIndex', 'offsets', 'seqs'],
};

/** Encodes `symbols`, absolute ones first, then ascending. Written from the format, and with no code of the decoder. */
export function buildKallsyms(
  symbols: readonly PlainSymbol[],
  layout: KallsymsLayout,
  /** Signed address of the first byte. */
  start: number,
  options: { readonly absolutePercpu?: boolean; readonly before?: Uint8Array } = {},
): BuiltKallsyms {
  const { absolutePercpu = true, before = new Uint8Array(0) } = options;
  const tokens = tokenTexts(symbols);
  const base = symbols.find(({ address }) => address < 0)?.address ?? start;
  const names = symbols.map(({ text }) => compressed(text, tokens));
  const order = ORDERS[layout];
  const alignment = layout === 'from 7.0' ? 4 : 8;
  const tokenStarts: number[] = [];
  let tokenBytes = 0;
  for (const token of tokens) {
    tokenStarts.push(tokenBytes);
    tokenBytes += token.length + 1;
  }
  const sizes: Readonly<Record<Table, number>> = {
    offsets: 4 * symbols.length,
    relativeBase: 8,
    count: 4,
    names: names.reduce((sum, { length }) => sum + length, 0),
    markers: 4 * Math.ceil(symbols.length / 256),
    seqs: 3 * symbols.length,
    tokenTable: tokenBytes,
    tokenIndex: 512,
  };
  const at = {
    offsets: 0,
    relativeBase: 0,
    count: 0,
    names: 0,
    markers: 0,
    seqs: 0,
    tokenTable: 0,
    tokenIndex: 0,
  };
  let end = up(before.length, 8);
  for (const table of order) {
    at[table] = table === 'relativeBase' ? up(end, 8) : up(end, alignment);
    end = at[table] + sizes[table];
  }
  const bytes = new Uint8Array(up(end, 4096));
  const view = new DataView(bytes.buffer);
  bytes.set(before);
  view.setUint32(at.count, symbols.length, true);
  let to = at.names;
  for (const [index, name] of names.entries()) {
    if (index % 256 === 0) view.setUint32(at.markers + index / 64, to - at.names, true);
    bytes.set(name, to);
    to += name.length;
  }
  for (const [index, token] of tokens.entries()) {
    view.setUint16(at.tokenIndex + 2 * index, tokenStarts[index] ?? 0, true);
    bytes.set(latin1(token), at.tokenTable + (tokenStarts[index] ?? 0));
  }
  for (const [index, { address }] of symbols.entries()) {
    const place = at.offsets + 4 * index;
    const offset =
      layout === 'from 7.0'
        ? address - (start + place)
        : !absolutePercpu || address >= 0
          ? address - (absolutePercpu ? 0 : base)
          : base - 1 - address;
    view.setInt32(place, offset, true);
  }
  if (order.includes('relativeBase')) view.setBigInt64(at.relativeBase, BigInt(base), true);
  return { bytes, at };
}

/** 256 texts: every letter in use at its own code, and at the others pairs of letters of the names. */
function tokenTexts(symbols: readonly PlainSymbol[]): string[] {
  const used = new Set(symbols.flatMap(({ text }) => [...text]));
  const pairs = symbols.flatMap(({ text }) => (text.length < 2 ? [] : [text.slice(0, 2), text.slice(-2)]));
  return Array.from({ length: 256 }, (_, code) => {
    const letter = String.fromCharCode(code);
    return used.has(letter) ? letter : (pairs[code % Math.max(pairs.length, 1)] ?? 'xy');
  });
}

function compressed(text: string, tokens: readonly string[]): Uint8Array {
  const codes: number[] = [];
  for (let at = 0; at < text.length; ) {
    const pair = at % 3 === 0 ? tokens.indexOf(text.slice(at, at + 2)) : -1;
    codes.push(pair < 0 ? tokens.indexOf(text.charAt(at)) : pair);
    at += tokens[codes.at(-1) ?? 0]?.length ?? 1;
  }
  const length =
    codes.length < 0x80 ? [codes.length] : [0x80 + (codes.length % 0x80), Math.floor(codes.length / 0x80)];
  return Uint8Array.from([...length, ...codes]);
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function up(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
