import type { ListedCode } from '@heki/audit';
import {
  hex,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import {
  type CodeAreas,
  type KernelNames,
  type LoadedCode,
  readCodeAreas,
  type SymbolTable,
} from '@heki/symbols';
import { mappedFrame, type ProvenRoot, type VirtualRange, virtualMemoryOf } from '@heki/vmcore';

/** Where the loader of modules goes on when vmalloc has given it memory. */
const LOADERS: readonly string[] = [
  'load_module',
  'move_module',
  'layout_and_allocate',
  'module_memory_alloc',
];

/** Classic programs (seccomp, packet filters) are in no list; before Linux 5.18, which has packs, each has memory of its own. */
const BPF = 'bpf_';

/** What the kernel's own lists say of its code, or why they tell nothing, in words that follow "the lists". */
export function listedCode({ loaded, symbols }: KernelNames, tables: ProvenRoot): ListedCode | string {
  if (typeof loaded === 'string' || symbols === undefined) return `of modules ${loaded}`;
  const memory = virtualMemoryOf(tables);
  const code = readCodeAreas(memory, symbols);
  if (code === undefined) return 'of vmalloc are not in the dump';
  const broken = [...loaded.brokenLists, ...code.brokenLists];
  const left = broken.find(({ stoppedAt }) => isLeftOut(tables, stoppedAt));
  if (left !== undefined) return `(${left.name}) are not all in the dump: ${hex(left.stoppedAt)} is not`;
  return {
    ...codeByLists(loaded, code, symbols, (at) => isOfThunks(memory.read(at, PAGE_SIZE))),
    brokenLists: broken.map(({ name }) => name),
  };
}

/** Whether the dump lacks the frame that `address` leads to, or that of a page beside it, into which what stands there may reach. */
function isLeftOut(tables: ProvenRoot, address: VirtualAddress): boolean {
  const at = virtualFrameOf(address);
  return [at - 1, at, at + 1].some((page) => {
    const frame = mappedFrame(tables, page as VirtualFrame);
    return frame !== undefined && tables.memory.page(frame) === undefined;
  });
}

/** Whether a page is int3 and jumps through registers, and nothing else (its_init_thunk). */
export function isOfThunks(page: Uint8Array | undefined): boolean {
  if (page === undefined) return false;
  for (let at = 0; at < page.length; at++) {
    if (page[at] === INT3) continue;
    // REX.B, for r8 and above.
    if (page[at] === 0x41) at++;
    const register = (page[at + 1] ?? 0) - 0xe0;
    if (page[at] !== 0xff || register < 0 || register > 7) return false;
    at++;
  }
  return true;
}

const INT3 = 0xcc;

/** Where thunks against ITS are made for a module or the image, a page at a time (its_alloc): no list of the kernel's code has them. */
const THUNK_MAKERS: readonly string[] = ['apply_retpolines', 'its_alloc', 'its_allocate_thunk'];

/** Who asked vmalloc for an area is told by the function in `symbols` that its caller lies in. @param isThunks what a page holds */
export function codeByLists(
  loaded: Pick<LoadedCode, 'modules' | 'bpf'>,
  code: Pick<CodeAreas, 'areas' | 'generated'>,
  symbols: SymbolTable,
  isThunks: (page: VirtualAddress) => boolean,
): ListedCode {
  const areas = code.areas.map((area) => ({
    ...pagesOf(area),
    first: area.start,
    frames: area.frames,
    caller: area.caller === undefined ? '' : (symbols.at(area.caller)?.symbol.name ?? ''),
  }));
  // Who may write to vmalloc's account may write there that eBPF asked for a module's memory.
  const hasPacks = symbols.named('pack_list').length > 0;
  const ofModules = loaded.modules.flatMap(({ parts }) => parts.filter(({ kind }) => kind.endsWith('text')));
  const bpf = [
    ...loaded.bpf.map(pagesOf),
    ...areas
      .filter(({ caller }) => !hasPacks && caller.startsWith(BPF))
      .map(({ start, end }) => ({ start, end })),
  ];
  return {
    bpf,
    ranges: [
      ...[...ofModules, ...code.generated].map(pagesOf),
      ...bpf,
      ...areas
        .filter(
          ({ caller, first }) => THUNK_MAKERS.some((maker) => caller.startsWith(maker)) && isThunks(first),
        )
        .map(({ start }) => ({ start, end: (start + 1) as VirtualFrame })),
    ],
    areas: areas.map(({ start, end, caller, frames }) => ({
      start,
      end,
      frames,
      isModule: LOADERS.some((loader) => caller.startsWith(loader)),
    })),
  };
}

function pagesOf({
  start,
  end,
}: {
  readonly start: VirtualAddress;
  readonly end: VirtualAddress;
}): VirtualRange {
  const page = BigInt(PAGE_SIZE);
  return {
    start: Number(start / page) as VirtualFrame,
    end: Number((end + page - 1n) / page) as VirtualFrame,
  };
}
