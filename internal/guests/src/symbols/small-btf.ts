import type { KernelStructs } from '@heki/symbols';

/** Structures whose members readers of modules ask for; those in them that are named here, too, are followed. */
const STRUCTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  list_head: { next: 'word' },
  attribute: { name: 'word' },
  bin_attribute: { attr: 'attribute' },
  module_sect_attr: { battr: 'bin_attribute', address: 'word' },
  module_sect_attrs: { nsections: 'word', attrs: 'word' },
  mod_kallsyms: { symtab: 'word', num_symtab: 'word', strtab: 'word', typetab: 'word' },
  module_layout: {
    base: 'word',
    size: 'word',
    text_size: 'word',
    ro_size: 'word',
    ro_after_init_size: 'word',
  },
  module_memory: { base: 'word', size: 'word' },
  bpf_ksym: { start: 'word', end: 'word', name: 'char[512]', lnode: 'list_head' },
  module: {
    list: 'list_head',
    name: 'char[56]',
    syms: 'word',
    num_syms: 'word',
    kallsyms: 'word',
    sect_attrs: 'word',
    core_layout: 'module_layout',
    init_layout: 'module_layout',
    mem: 'module_memory[7]',
  },
};

/** The structures of STRUCTS as the kernel has them, described anew: 1 KB for what takes the kernel 5 MB. */
export function smallBtf(structs: KernelStructs): Uint8Array {
  const words: number[] = [];
  let names = '\0';
  const types = new Map<string, number>();
  let count = 0;
  const add = (key: string, ...type: readonly number[]): number => {
    words.push(...type);
    types.set(key, ++count);
    return count;
  };
  const named = (name: string): number => {
    names += `${name}\0`;
    return names.length - name.length - 1;
  };
  add('char', named('char'), 2 ** 24, 1, 8);
  const typeOf = (text: string): number => {
    const known = types.get(text);
    if (known !== undefined || text === 'word') return known ?? 0;
    const [, element = '', length = '0'] = /^(\w+)\[(\d+)\]$/.exec(text) ?? [];
    return add(text, 0, 3 * 2 ** 24, 0, typeOf(element), 0, Number(length));
  };
  for (const [struct, members] of Object.entries(STRUCTS)) {
    const size = structs.size(struct);
    if (size === undefined) continue;
    const found = Object.entries(members).flatMap(([name, type]) => {
      const offset = structs.offset(struct, name);
      return offset === undefined ? [] : [{ name, offset, type: typeOf(type) }];
    });
    const parts = found.flatMap(({ name, offset, type }) => [named(name), type, 8 * offset]);
    add(struct, named(struct), 4 * 2 ** 24 + found.length, size, ...parts);
  }
  const values = [...structs.enumeration('mod_mem_type')];
  if (values.length > 0) {
    const parts = values.flatMap(([name, value]) => [named(name), value]);
    add('mod_mem_type', named('mod_mem_type'), 6 * 2 ** 24 + values.length, 4, ...parts);
  }
  const header = Uint32Array.of(0x0001_eb9f, 24, 0, 4 * words.length, 4 * words.length, names.length);
  return Buffer.concat([
    new Uint8Array(header.buffer),
    new Uint8Array(Uint32Array.from(words).buffer),
    Buffer.from(names, 'latin1'),
  ]);
}
