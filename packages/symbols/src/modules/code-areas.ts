import { type Gfn, PAGE_SIZE, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { readBtf } from '../btf/read-btf.ts';
import { createKernelStructs, type KernelStruct, type KernelStructs } from '../kernel-structs.ts';
import type { SymbolTable } from '../symbol-table.ts';
import type { BrokenList } from './read-modules.ts';

/** Code that the kernel made by itself. */
export interface GeneratedCode {
  readonly what: 'eBPF pack' | 'ftrace trampoline' | 'kprobe slots';
  readonly start: VirtualAddress;
  readonly end: VirtualAddress;
}

/** What vmalloc gave out. */
export interface VmallocArea {
  readonly start: VirtualAddress;
  /** Behind its guard page, where it has one. */
  readonly end: VirtualAddress;
  /** Where the function that asked for it goes on; `undefined` where nothing tells. */
  readonly caller: VirtualAddress | undefined;
  /** The frames of its pages, in their order, where vmalloc keeps a list of them: not of what it maps for others (vmap, ioremap). `undefined` is what is no `struct page`. */
  readonly frames?: readonly (Gfn | undefined)[] | undefined;
}

/** What the kernel's own lists say of where code may be, beside modules and single programs of eBPF. */
export interface CodeAreas {
  readonly generated: readonly GeneratedCode[];
  /** Ascending. */
  readonly areas: readonly VmallocArea[];
  /** Of these, only the part before the break is told. */
  readonly brokenLists: readonly BrokenList[];
}

const MOST_AREAS = 2 ** 18;
const MOST_GENERATED = 2 ** 14;
/** More nodes than `vmap_nodes` has: it has one for each processor at most. */
const MOST_NODES = 2 ** 13;
const PAGE = 4096n;

/**
 * Packs of eBPF's JIT (`pack_list`), trampolines of ftrace, pages of kprobes' slots, and what vmalloc has given out. Where members are is said
 * by the kernel's own description of its types (BTF).
 *
 * @returns `undefined` where that, or vmalloc's list, is not in the dump
 */
export function readCodeAreas(memory: VirtualMemory, symbols: SymbolTable): CodeAreas | undefined {
  const btf = readBtf(memory, symbols);
  if (btf === undefined) return undefined;
  const structs = createKernelStructs(memory, btf);
  const given = vmallocAreas(structs, symbols);
  if (given === undefined) return undefined;
  const { areas } = given;
  const brokenLists = [...given.brokenLists];
  const generated: GeneratedCode[] = [];
  for (const { head, type, of } of LISTS) {
    const at = headOf(structs, symbols, head);
    if (at === undefined) continue;
    const { all, stoppedAt } = structs.list(type, 'list', at, MOST_GENERATED);
    if (stoppedAt !== undefined) brokenLists.push({ name: head[0], stoppedAt });
    generated.push(...all.flatMap((one) => of(one, areas)));
  }
  return { generated, areas, brokenLists };
}

/** A list of structures that tell where code is, absent from kernels that have no symbol for its head. */
interface CodeList {
  /** The symbol of the head, or of a structure and its member. */
  readonly head: readonly [symbol: string, type?: string, member?: string];
  readonly type: string;
  readonly of: (one: KernelStruct, areas: readonly VmallocArea[]) => readonly GeneratedCode[];
}

const kprobeSlots = (symbol: string): CodeList => ({
  head: [symbol, 'kprobe_insn_cache', 'pages'],
  type: 'kprobe_insn_page',
  of: (page) => code('kprobe slots', page.pointer('insns'), PAGE),
});

const LISTS: readonly CodeList[] = [
  {
    head: ['pack_list'],
    type: 'bpf_prog_pack',
    // As large as there are NUMA nodes.
    of(pack, areas) {
      const start = pack.pointer('ptr');
      const area = areas.find((one) => start !== undefined && one.start <= start && start < one.end);
      return area === undefined || start === undefined ? [] : code('eBPF pack', start, area.end - start);
    },
  },
  {
    head: ['ftrace_ops_trampoline_list'],
    type: 'ftrace_ops',
    of: (ops) => code('ftrace trampoline', ops.pointer('trampoline'), ops.pointer('trampoline_size') ?? 0n),
  },
  kprobeSlots('kprobe_insn_slots'),
  kprobeSlots('kprobe_optinsn_slots'),
];

function headOf(
  structs: KernelStructs,
  symbols: SymbolTable,
  [name, type, member]: CodeList['head'],
): VirtualAddress | undefined {
  const [symbol] = symbols.named(name);
  if (symbol === undefined || type === undefined || member === undefined) return symbol?.address;
  const offset = structs.offset(type, member);
  return offset === undefined ? undefined : virtualAddress(symbol.address + BigInt(offset));
}

function code(
  what: GeneratedCode['what'],
  start: VirtualAddress | undefined,
  length: bigint,
): readonly GeneratedCode[] {
  if (start === undefined || start === 0n || length === 0n || start + length >= 1n << 64n) return [];
  return [{ what, start, end: virtualAddress(start + length) }];
}

/** `vmap_area_list`, and since Linux 6.9 a list for each of `vmap_nodes`. */
function vmallocAreas(
  structs: KernelStructs,
  symbols: SymbolTable,
): Pick<CodeAreas, 'areas' | 'brokenLists'> | undefined {
  const heads = listHeads(structs, symbols);
  const account = pageAccount(structs, symbols);
  const areas: VmallocArea[] = [];
  const brokenLists: BrokenList[] = [];
  for (const head of heads) {
    const { all, stoppedAt } = structs.list('vmap_area', 'list', head, MOST_AREAS);
    if (stoppedAt !== undefined) brokenLists.push({ name: 'vmap_area', stoppedAt });
    for (const area of all) {
      const [start, end] = [area.pointer('va_start'), area.pointer('va_end')];
      if (start === undefined || end === undefined || start >= end) continue;
      const vm = area.pointer('vm');
      const given = vm === undefined || vm === 0n ? undefined : structs.read('vm_struct', vm);
      const caller = given?.pointer('caller');
      const most = Number(end - start) / PAGE_SIZE;
      areas.push({
        start,
        end,
        caller: caller === 0n ? undefined : caller,
        frames: given === undefined ? undefined : framesOf(structs, given, account, most),
      });
    }
  }
  if (heads.length === 0) return undefined;
  areas.sort((a, b) => (a.start < b.start ? -1 : 1));
  return { areas, brokenLists };
}

function listHeads(structs: KernelStructs, symbols: SymbolTable): VirtualAddress[] {
  const [list] = symbols.named('vmap_area_list');
  if (list !== undefined) return [list.address];
  const [[nodes], [number]] = [symbols.named('vmap_nodes'), symbols.named('nr_vmap_nodes')];
  const first = nodes === undefined ? undefined : structs.pointer(nodes.address);
  const bytes = number === undefined ? undefined : structs.bytes(number.address, 4);
  const size = structs.size('vmap_node');
  const offset = structs.offset('rb_list', 'head');
  if (first === undefined || bytes === undefined || size === undefined || offset === undefined) return [];
  const count = Math.min(MOST_NODES, new DataView(bytes.buffer).getUint32(0, true));
  return Array.from({ length: count }, (_, index) => {
    const node = structs.read('vmap_node', virtualAddress(first + BigInt(index * size)));
    const busy = node?.struct('busy');
    return busy === undefined ? [] : [virtualAddress(busy.address + BigInt(offset))];
  }).flat();
}

/** Where the kernel has its `struct page`s, and how large one is. */
interface PageAccount {
  readonly base: bigint;
  readonly size: bigint;
}

function pageAccount(structs: KernelStructs, symbols: SymbolTable): PageAccount | undefined {
  const [base] = symbols.named('vmemmap_base');
  const start = base === undefined ? undefined : structs.pointer(base.address);
  const size = structs.size('page');
  return start === undefined || !size ? undefined : { base: start, size: BigInt(size) };
}

/** The frames that `vm_struct.pages` names; `undefined` where there is no such list, or the dump lacks it. */
function framesOf(
  structs: KernelStructs,
  given: KernelStruct,
  account: PageAccount | undefined,
  most: number,
): (Gfn | undefined)[] | undefined {
  const [list, count] = [given.pointer('pages'), given.uint('nr_pages')];
  if (account === undefined || list === undefined || list === 0n || !count || count > most) return undefined;
  const bytes = structs.bytes(list, 8 * count);
  if (bytes === undefined) return undefined;
  const pages = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, index) => {
    const behind = pages.getBigUint64(8 * index, true) - account.base;
    const isPage = behind >= 0n && behind % account.size === 0n;
    return isPage ? (Number(behind / account.size) as Gfn) : undefined;
  });
}
