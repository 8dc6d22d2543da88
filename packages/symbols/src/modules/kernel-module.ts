import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { KernelStruct, KernelStructs } from '../kernel-structs.ts';
import type { SymbolTable } from '../symbol-table.ts';
import { readModuleSymbols } from './module-symbols.ts';

/** What a part of a module's memory is for. `ro-after-init`: constants once its init has run; `init-…`: freed then. */
export const MODULE_PART_KINDS = [
  'text',
  'rodata',
  'ro-after-init',
  'data',
  'init-text',
  'init-rodata',
  'init-data',
] as const;
export type ModulePartKind = (typeof MODULE_PART_KINDS)[number];

/** A part of a module's memory. */
export interface ModulePart {
  readonly kind: ModulePartKind;
  readonly start: VirtualAddress;
  /** Behind its last byte, which need not be whole. */
  readonly end: VirtualAddress;
}

/** A section of a module's file, and where it was put. */
export interface ModuleSection {
  readonly name: string;
  readonly address: VirtualAddress;
}

/** A module that is loaded. */
export interface KernelModule {
  readonly name: string;
  /** Of its `struct module`. */
  readonly address: VirtualAddress;
  /** Ascending. */
  readonly parts: readonly ModulePart[];
  /** As /sys/module/NAME/sections has them, ascending; none where the kernel does not keep them. */
  readonly sections: readonly ModuleSection[];
  /** Its symbols, as /proc/kallsyms has them; none where they are not held. */
  readonly symbols: SymbolTable;
}

const MOST_SECTIONS = 4096;
const LONGEST_SECTION_NAME = 256;
/** A module is at most so large: that is all of their region. */
const LARGEST_PART = 2 ** 30;

/** The names of `enum mod_mem_type` (Linux 6.4 on). */
const MEMORY_TYPES: readonly (readonly [name: string, kind: ModulePartKind])[] = [
  ['MOD_TEXT', 'text'],
  ['MOD_DATA', 'data'],
  ['MOD_RODATA', 'rodata'],
  ['MOD_RO_AFTER_INIT', 'ro-after-init'],
  ['MOD_INIT_TEXT', 'init-text'],
  ['MOD_INIT_DATA', 'init-data'],
  ['MOD_INIT_RODATA', 'init-rodata'],
];

/** The module whose `struct module` is `module`; `undefined` when that has no name. */
export function readModule(structs: KernelStructs, module: KernelStruct): KernelModule | undefined {
  const name = module.text('name');
  if (name === undefined || name === '') return undefined;
  let symbols: SymbolTable | undefined;
  return {
    name,
    address: module.address,
    parts: partsOf(structs, module).sort((a, b) => (a.start < b.start ? -1 : 1)),
    sections: sectionsOf(structs, module),
    get symbols() {
      symbols ??= readModuleSymbols(structs, module);
      return symbols;
    },
  };
}

function partsOf(structs: KernelStructs, module: KernelStruct): ModulePart[] {
  const types = structs.enumeration('mod_mem_type');
  const memories = module.structs('mem');
  if (types.size > 0 && memories.length > 0) {
    return MEMORY_TYPES.flatMap(([type, kind]) => {
      const memory = memories[types.get(type) ?? memories.length];
      return memory === undefined ? [] : part(kind, memory.pointer('base'), 0, memory.uint('size'));
    });
  }
  return [
    ...layoutParts(module.struct('core_layout'), ''),
    ...layoutParts(module.struct('init_layout'), 'init-'),
  ];
}

/** A `struct module_layout`, before Linux 6.4: one piece of memory, whose parts begin where the one before ends. */
function layoutParts(layout: KernelStruct | undefined, prefix: '' | 'init-'): ModulePart[] {
  const base = layout?.pointer('base');
  const end = (name: string): number => layout?.uint(name) ?? 0;
  const constants = end('ro_size');
  const afterInit = Math.max(constants, end('ro_after_init_size'));
  return [
    ...part(`${prefix}text`, base, 0, end('text_size')),
    ...part(`${prefix}rodata`, base, end('text_size'), constants),
    ...(prefix === '' ? part('ro-after-init', base, constants, afterInit) : []),
    ...part(`${prefix}data`, base, prefix === '' ? afterInit : constants, end('size')),
  ];
}

function part(kind: ModulePartKind, base: VirtualAddress | undefined, from: number, to = 0): ModulePart[] {
  if (base === undefined || base === 0n || to <= from || to > LARGEST_PART) return [];
  if (base + BigInt(to) >= 1n << 64n) return [];
  return [{ kind, start: virtualAddress(base + BigInt(from)), end: virtualAddress(base + BigInt(to)) }];
}

/** By `struct module_sect_attrs`: a number, and for each section its name and where it is. */
function sectionsOf(structs: KernelStructs, module: KernelStruct): ModuleSection[] {
  const at = module.pointer('sect_attrs');
  const attributes = at === undefined || at === 0n ? undefined : structs.read('module_sect_attrs', at);
  const first = structs.offset('module_sect_attrs', 'attrs');
  const size = structs.size('module_sect_attr');
  const count = attributes?.uint('nsections') ?? 0;
  if (at === undefined || first === undefined || size === undefined || count > MOST_SECTIONS) return [];
  const sections: ModuleSection[] = [];
  for (let index = 0; index < count; index++) {
    const attribute = structs.read('module_sect_attr', virtualAddress(at + BigInt(first + index * size)));
    const nameAt = attribute?.struct('battr')?.struct('attr')?.pointer('name');
    const address = attribute?.pointer('address');
    const name = nameAt === undefined ? undefined : structs.text(nameAt, LONGEST_SECTION_NAME);
    if (name !== undefined && address !== undefined) sections.push({ name, address });
  }
  return sections.sort((a, b) => (a.address < b.address ? -1 : 1));
}
