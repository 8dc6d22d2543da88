/** A type to encode. A number is that of a type that was given before, from 1 on; 0 is void. */
export type PlainType =
  | { readonly kind: 'int'; readonly name: string; readonly size: number }
  | { readonly kind: 'pointer'; readonly to: number }
  | { readonly kind: 'typedef' | 'const'; readonly name: string; readonly of: number }
  | { readonly kind: 'array'; readonly element: number; readonly count: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly {
        readonly name: string;
        readonly offset: number;
        readonly type: number;
        readonly bits?: number;
      }[];
    }
  | { readonly kind: 'enum'; readonly name: string; readonly values: readonly (readonly [string, number])[] };

const KINDS = { int: 1, pointer: 2, array: 3, struct: 4, union: 5, enum: 6, typedef: 8, const: 10 } as const;

/** A `.BTF` section (Linux, Documentation/bpf/btf.rst). Written from the format, and with no code of the parser. */
export function buildBtf(types: readonly PlainType[]): Uint8Array {
  const words: number[] = [];
  let names = '\0';
  const nameAt = (name: string): number => {
    if (name === '') return 0;
    const known = names.indexOf(`\0${name}\0`);
    if (known >= 0) return known + 1;
    names += `${name}\0`;
    return names.length - name.length - 1;
  };
  for (const type of types) {
    const hasBits = 'members' in type && type.members.some(({ bits }) => bits !== undefined);
    const parts = 'members' in type ? type.members.length : 'values' in type ? type.values.length : 0;
    const info = KINDS[type.kind] * 2 ** 24 + parts + (hasBits ? 2 ** 31 : 0);
    words.push('name' in type ? nameAt(type.name) : 0, info);
    switch (type.kind) {
      case 'int':
        words.push(type.size, 8 * type.size);
        break;
      case 'pointer':
        words.push(type.to);
        break;
      case 'typedef':
      case 'const':
        words.push(type.of);
        break;
      case 'array':
        words.push(0, type.element, 0, type.count);
        break;
      case 'struct':
      case 'union':
        words.push(type.size);
        for (const { name, offset, type: of, bits } of type.members) {
          words.push(nameAt(name), of, 8 * offset + (bits === undefined ? 0 : bits * 2 ** 24));
        }
        break;
      case 'enum':
        words.push(4);
        for (const [name, value] of type.values) words.push(nameAt(name), value);
        break;
    }
  }
  const bytes = new Uint8Array(24 + 4 * words.length + names.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  for (const [index, value] of [24, 0, 4 * words.length, 4 * words.length, names.length].entries()) {
    view.setUint32(4 + 4 * index, value, true);
  }
  for (const [index, word] of words.entries()) view.setUint32(24 + 4 * index, word, true);
  for (let index = 0; index < names.length; index++)
    bytes[24 + 4 * words.length + index] = names.charCodeAt(index);
  return bytes;
}
