import type { ListedCode } from '@heki/audit';
import { PAGE_SIZE, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import {
  type CodeAreas,
  type KernelNames,
  type LoadedCode,
  readCodeAreas,
  type SymbolTable,
} from '@heki/symbols';
import type { VirtualMemory, VirtualRange } from '@heki/vmcore';

/** Where the loader of modules goes on when vmalloc has given it memory. */
const LOADERS: readonly string[] = [
  'load_module',
  'move_module',
  'layout_and_allocate',
  'module_memory_alloc',
];

/** Classic programs (seccomp, packet filters) are in no list; before Linux 5.18 each has memory of its own. */
const BPF = 'bpf_';

/** What the kernel's own lists say of its code; `undefined` where the dump lacks them, or one does not come back to its head. */
export function listedCode(names: KernelNames, memory: VirtualMemory): ListedCode | undefined {
  const { loaded, symbols } = names;
  if (typeof loaded === 'string' || symbols === undefined || loaded.brokenLists.length > 0) return undefined;
  const code = readCodeAreas(memory, symbols);
  return code === undefined ? undefined : codeByLists(loaded, code, symbols);
}

/** Who asked vmalloc for an area is told by the function in `symbols` that its caller lies in. */
export function codeByLists(
  loaded: Pick<LoadedCode, 'modules' | 'bpf'>,
  code: CodeAreas,
  symbols: SymbolTable,
): ListedCode {
  const areas = code.areas.map((area) => ({
    ...pagesOf(area),
    frames: area.frames,
    caller: area.caller === undefined ? '' : (symbols.at(area.caller)?.symbol.name ?? ''),
  }));
  const ofModules = loaded.modules.flatMap(({ parts }) => parts.filter(({ kind }) => kind.endsWith('text')));
  return {
    ranges: [
      ...[...ofModules, ...loaded.bpf, ...code.generated].map(pagesOf),
      ...areas.filter(({ caller }) => caller.startsWith(BPF)),
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
