/** Kinds of types (Linux, Documentation/bpf/btf.rst). */
const Kind = {
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

/** Words behind the three of every type, by kind: some, and some for each of its parts. */
const EXTRA_WORDS: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0], // void
  [1, 0], // INT
  [0, 0], // PTR
  [3, 0], // ARRAY
  [0, 3], // STRUCT
  [0, 3], // UNION
  [0, 2], // ENUM
  [0, 0], // FWD
  [0, 0], // TYPEDEF
  [0, 0], // VOLATILE
  [0, 0], // CONST
  [0, 0], // RESTRICT
  [0, 0], // FUNC
  [0, 2], // FUNC_PROTO
  [1, 0], // VAR
  [0, 3], // DATASEC
  [0, 0], // FLOAT
  [1, 0], // DECL_TAG
  [0, 0], // TYPE_TAG
  [0, 3], // ENUM64
];

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
/** Types within types that are followed. */
const DEEPEST = 32;

/** A member of a structure, or of an unnamed one in it. */
interface Member {
  /** Bytes from the start of the structure. */
  readonly offset: number;
  /** The number of its type. */
  readonly type: number;
}

/** The types of a kernel, as it describes them itself (BTF): where the members of its structures are. */
export type Btf = Pick<TypeSection, keyof TypeSection>;

/** Parses a `.BTF` section; `undefined` when it is not one, or damaged. */
export function parseBtf(bytes: Uint8Array): Btf | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const field = (at: number): number => view.getUint32(at, true);
  const [headerLength, typesAt, typesLength, namesAt, namesLength] = [4, 8, 12, 16, 20].map(field);
  if (view.getUint16(0, true) !== MAGIC || view.getUint8(2) !== 1) return undefined;
  const part = (at = 0, length = 0): Uint8Array | undefined => {
    const start = (headerLength ?? 0) + at;
    return start + length <= bytes.length ? bytes.slice(start, start + length) : undefined;
  };
  const types = part(typesAt, typesLength);
  const names = part(namesAt, namesLength);
  if (types === undefined || names === undefined) return undefined;
  const words = new Uint32Array(types.buffer, 0, Math.floor(types.length / 4));
  const starts = new Uint32Array(Math.floor(words.length / 3) + 1);
  let count = 1;
  for (let at = 0; at + 3 <= words.length; ) {
    const info = words[at + 1] ?? 0;
    const extra = EXTRA_WORDS[Math.floor(info / 2 ** 24) % 32];
    if (extra === undefined) return undefined;
    starts[count++] = at;
    at += 3 + extra[0] + extra[1] * (info % 0x10000);
    if (at > words.length) return undefined;
  }
  return new TypeSection(words, starts, count, new TextDecoder('latin1').decode(names));
}

class TypeSection {
  readonly #words: Uint32Array;
  /** Where each type begins, in words; 0 is void. */
  readonly #starts: Uint32Array;
  readonly #count: number;
  /** All names, each with a zero before and behind. */
  readonly #names: string;

  constructor(words: Uint32Array, starts: Uint32Array, count: number, names: string) {
    this.#words = words;
    this.#starts = starts;
    this.#count = count;
    this.#names = names;
  }

  /** The number of the structure of that name. */
  struct(name: string): number | undefined {
    return this.#named(name, Kind.STRUCT);
  }

  /** The values of an enumeration, by name. */
  enumeration(name: string): Map<string, number> {
    const type = this.#named(name, Kind.ENUM);
    const values = new Map<string, number>();
    if (type === undefined) return values;
    const start = this.#starts[type] ?? 0;
    for (let index = 0; index < this.#parts(type); index++) {
      const at = start + 3 + 2 * index;
      values.set(this.#name(this.#words[at] ?? 0), this.#words[at + 1] ?? 0);
    }
    return values;
  }

  /** The member of a structure or union that is named so, through unnamed ones. `undefined` for bit fields, too. */
  member(type: number, name: string, depth = 0): Member | undefined {
    const resolved = this.#resolve(type);
    const kind = this.#kind(resolved);
    if ((kind !== Kind.STRUCT && kind !== Kind.UNION) || depth > DEEPEST) return undefined;
    const start = this.#starts[resolved] ?? 0;
    const hasBitFields = (this.#words[start + 1] ?? 0) >= 2 ** 31;
    for (let index = 0; index < this.#parts(resolved); index++) {
      const at = start + 3 + 3 * index;
      const [nameAt = 0, memberType = 0, place = 0] = this.#words.subarray(at, at + 3);
      const bits = hasBitFields ? place % 2 ** 24 : place;
      const isBitField = (hasBitFields && place >= 2 ** 24) || bits % 8 !== 0;
      if (nameAt === 0) {
        const inner = this.member(memberType, name, depth + 1);
        if (inner !== undefined) return { offset: bits / 8 + inner.offset, type: inner.type };
      } else if (this.#name(nameAt) === name) {
        return isBitField ? undefined : { offset: bits / 8, type: memberType };
      }
    }
    return undefined;
  }

  /** Bytes of a structure or union. */
  size(type: number): number | undefined {
    const resolved = this.#resolve(type);
    const kind = this.#kind(resolved);
    const size = this.#words[(this.#starts[resolved] ?? 0) + 2];
    return kind === Kind.STRUCT || kind === Kind.UNION ? size : undefined;
  }

  /** What an array is of, and how much; `undefined` when the type is not an array. */
  array(type: number): { readonly element: number; readonly count: number } | undefined {
    const resolved = this.#resolve(type);
    if (this.#kind(resolved) !== Kind.ARRAY) return undefined;
    const start = this.#starts[resolved] ?? 0;
    return { element: this.#words[start + 3] ?? 0, count: this.#words[start + 5] ?? 0 };
  }

  #named(name: string, kind: number): number | undefined {
    const nameAt = this.#names.indexOf(`\0${name}\0`) + 1;
    if (nameAt === 0) return undefined;
    for (let type = 1; type < this.#count; type++) {
      if (this.#words[this.#starts[type] ?? 0] === nameAt && this.#kind(type) === kind) return type;
    }
    return undefined;
  }

  #kind(type: number): number {
    if (type === 0 || type >= this.#count) return 0;
    return Math.floor((this.#words[(this.#starts[type] ?? 0) + 1] ?? 0) / 2 ** 24) % 32;
  }

  #parts(type: number): number {
    return (this.#words[(this.#starts[type] ?? 0) + 1] ?? 0) % 0x10000;
  }

  #name(at: number): string {
    const end = this.#names.indexOf('\0', at);
    return end < 0 ? '' : this.#names.slice(at, end);
  }

  /** What a type is behind its names and qualifiers. */
  #resolve(type: number): number {
    let at = type;
    for (let depth = 0; depth < DEEPEST; depth++) {
      const kind = this.#kind(at);
      const isAlias =
        kind === Kind.TYPEDEF || kind === Kind.TYPE_TAG || (kind >= Kind.VOLATILE && kind <= Kind.RESTRICT);
      if (!isAlias) return at;
      at = this.#words[(this.#starts[at] ?? 0) + 2] ?? 0;
    }
    return 0;
  }
}
