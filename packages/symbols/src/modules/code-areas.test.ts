import { virtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { symbolTableOf } from '../symbol-table.ts';
import { buildBtf, type PlainType } from '../testing/build-btf.ts';
import { flatMemory } from '../testing/flat-memory.ts';
import { readCodeAreas } from './code-areas.ts';

const START = 0xffff_ffff_8100_0000n;
const CODE = 0xffff_ffff_c000_0000n;

/** Number 1 is a 64-bit word, 2 a `list_head`; the others in the order of their names here. */
const struct = (
  name: string,
  size: number,
  members: Readonly<Record<string, readonly [number, number]>>,
): PlainType => ({
  kind: 'struct',
  name,
  size,
  members: Object.entries(members).map(([member, [offset, type]]) => ({ name: member, offset, type })),
});
const TYPES: readonly PlainType[] = [
  { kind: 'int', name: 'long', size: 8 },
  struct('list_head', 16, { next: [0, 1], prev: [8, 1] }),
  struct('bpf_prog_pack', 32, { list: [0, 2], ptr: [16, 1] }),
  struct('ftrace_ops', 48, { list: [0, 2], trampoline: [16, 1], trampoline_size: [24, 1] }),
  struct('kprobe_insn_cache', 32, { pages: [8, 2] }),
  struct('kprobe_insn_page', 32, { list: [0, 2], insns: [16, 1] }),
  struct('vmap_area', 48, { va_start: [0, 1], va_end: [8, 1], list: [16, 2], vm: [32, 1] }),
  struct('vm_struct', 48, { pages: [16, 1], nr_pages: [24, 1], caller: [40, 1] }),
  struct('rb_list', 32, { head: [8, 2] }),
  struct('vmap_node', 96, { busy: [32, 9] }),
  struct('page', 64, {}),
];

/** A kernel's memory in which structures stand where they are put. */
function kernel() {
  const btf = buildBtf(TYPES);
  const bytes = new Uint8Array(0x4000);
  bytes.set(btf, 0x2000);
  const view = new DataView(bytes.buffer);
  const symbols = new Map<string, number>([
    ['__start_BTF', 0x2000],
    ['__stop_BTF', 0x2000 + btf.length],
  ]);
  const word = (at: number, value: bigint) => view.setBigUint64(at, value, true);
  /** A list of nodes that are linked through their own addresses, back to its head. */
  const link = (head: number, nodes: readonly number[]) => {
    for (const [index, at] of [head, ...nodes].entries()) {
      word(at, START + BigInt(nodes[index] ?? head));
    }
  };
  const area = (at: number, [start, end]: readonly [bigint, bigint], caller: bigint) => {
    word(at, start);
    word(at + 8, end);
    word(at + 32, START + BigInt(at + 0x40));
    word(at + 0x40 + 40, caller);
  };
  return {
    word,
    link,
    area,
    symbols,
    read: () =>
      readCodeAreas(
        flatMemory(bytes, virtualAddress(START)),
        symbolTableOf(
          [...symbols].map(([name, at]) => ({
            name,
            type: 'd',
            address: virtualAddress(START + BigInt(at)),
          })),
        ),
      ),
  };
}

const PACK = [CODE, CODE + 0x40_1000n] as const;
const MODULE = [CODE + 0x80_0000n, CODE + 0x80_3000n] as const;
const CALLER = START + 0x10n;

/** With a pack over two NUMA nodes, a trampoline and a page of slots, and vmalloc's list in one piece. */
function full() {
  const one = kernel();
  one.symbols.set('pack_list', 0x100).set('ftrace_ops_trampoline_list', 0x110);
  one.symbols.set('kprobe_insn_slots', 0x120).set('vmap_area_list', 0x160);
  one.link(0x100, [0x200]);
  one.word(0x210, CODE);
  one.link(0x110, [0x240]);
  one.word(0x250, CODE + 0x90_0000n);
  one.word(0x258, 0x85n);
  one.link(0x128, [0x280]);
  one.word(0x290, CODE + 0xa0_0000n);
  one.area(0x300, MODULE, CALLER);
  one.area(0x400, PACK, 0n);
  one.link(0x160, [0x310, 0x410]);
  return one;
}

const AREAS = [
  { start: PACK[0], end: PACK[1], caller: undefined },
  { start: MODULE[0], end: MODULE[1], caller: CALLER },
];

test('what the kernel made by itself, and what vmalloc gave out, is told by its lists', () => {
  const range = (what: string, start: bigint, length: bigint) => ({ what, start, end: start + length });
  expect(full().read()).toEqual({
    generated: [
      range('eBPF pack', CODE, 0x40_1000n),
      range('ftrace trampoline', CODE + 0x90_0000n, 0x85n),
      range('kprobe slots', CODE + 0xa0_0000n, 0x1000n),
    ],
    areas: AREAS,
    brokenLists: [],
  });
});

test('since Linux 6.9 each node has a list of its own', () => {
  const one = kernel();
  one.symbols.set('vmap_nodes', 0x100).set('nr_vmap_nodes', 0x108);
  one.word(0x100, START + 0x600n);
  one.word(0x108, 2n);
  one.area(0x300, MODULE, CALLER);
  one.area(0x400, PACK, 0n);
  one.link(0x600 + 32 + 8, [0x310]);
  one.link(0x660 + 32 + 8, [0x410]);
  expect(one.read()).toEqual({ generated: [], areas: AREAS, brokenLists: [] });
});

test.each([
  ['pack_list', 0x200],
  ['ftrace_ops_trampoline_list', 0x240],
  ['kprobe_insn_slots', 0x280],
  ['vmap_area', 0x410],
])(
  'where %s does not come back to its head, that and where it leads is told, with what the others have',
  (name, node) => {
    const broken = full();
    const astray = virtualAddress(START + 0x1_0000n);
    broken.word(node, astray);
    const told = broken.read();
    expect(told?.brokenLists).toEqual([{ name, stoppedAt: astray }]);
    expect(told?.areas).toEqual(AREAS);
  },
);

test('nothing is told where there are no types', () => {
  const without = full();
  without.symbols.delete('__start_BTF');
  expect(without.read()).toBeUndefined();
});

test.each([
  ['the frames of its pages, in their order', [0x40n, 0x1000n], [1, 0x40]],
  ['all but one that is no page', [0x40n, 0x1001n], [1, undefined]],
  ['all but one that lies before all pages', [0x40n, -0x40n], [1, undefined]],
])('an area whose pages vmalloc lists tells %s', (_, pages, frames) => {
  const one = full();
  one.symbols.set('vmemmap_base', 0x700);
  one.word(0x700, 0xffff_ea00_0000_0000n);
  one.word(0x340 + 16, START + 0x800n);
  one.word(0x340 + 24, BigInt(pages.length));
  for (const [index, page] of pages.entries()) one.word(0x800 + 8 * index, 0xffff_ea00_0000_0000n + page);
  expect(one.read()?.areas.map((area) => area.frames)).toEqual([undefined, frames]);
});
