import type { VirtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { readBtf } from '../btf/read-btf.ts';
import { createKernelStructs } from '../kernel-structs.ts';
import type { SymbolTable } from '../symbol-table.ts';
import { type KernelModule, readModule } from './kernel-module.ts';

/** More than any kernel has modules. */
const MOST_MODULES = 2 ** 14;
const MOST_BPF = 2 ** 16;

/** What the kernel's own lists say was loaded into it. */
export interface LoadedCode {
  /** In the order of the list: the last loaded first. */
  readonly modules: readonly KernelModule[];
  /** Programs and trampolines of eBPF. */
  readonly bpf: readonly BpfCode[];
  /** What they lead to is not held, or they were tampered with. */
  readonly brokenLists: readonly BrokenList[];
}

/** A list that does not come back to its head. */
export interface BrokenList {
  readonly name: string;
  /** The address that it could not be followed to. */
  readonly stoppedAt: VirtualAddress;
}

/** What the JIT of eBPF made. */
export interface BpfCode {
  readonly name: string;
  readonly start: VirtualAddress;
  readonly end: VirtualAddress;
}

/**
 * The modules that are loaded, by the list `modules`, and what eBPF made, by `bpf_kallsyms`. Where members are is said by the kernel's own
 * description of its types (BTF), so that no version need be known.
 *
 * @returns or why nothing can be told, in words that follow "modules"
 */
export function readLoadedCode(memory: VirtualMemory, symbols: SymbolTable): LoadedCode | string {
  const head = symbols.named('modules')[0]?.address;
  if (head === undefined) return 'have no list: the kernel has no symbol for it (CONFIG_KALLSYMS_ALL)';
  const btf = readBtf(memory, symbols);
  if (btf === undefined)
    return "cannot be read: the kernel's description of its types (BTF) is not in the dump";
  const structs = createKernelStructs(memory, btf);
  const brokenLists: BrokenList[] = [];
  const loaded = structs.list('module', 'list', head, MOST_MODULES);
  if (loaded.stoppedAt !== undefined) brokenLists.push({ name: 'modules', stoppedAt: loaded.stoppedAt });
  const bpfHead = symbols.named('bpf_kallsyms')[0]?.address;
  const bpf = bpfHead === undefined ? undefined : structs.list('bpf_ksym', 'lnode', bpfHead, MOST_BPF);
  if (bpf?.stoppedAt !== undefined) brokenLists.push({ name: 'bpf_kallsyms', stoppedAt: bpf.stoppedAt });
  return {
    modules: loaded.all.map((module) => readModule(structs, module)).filter((one) => one !== undefined),
    bpf: (bpf?.all ?? []).flatMap((code) => {
      const name = code.text('name');
      const [start, end] = [code.pointer('start'), code.pointer('end')];
      const isRange = start !== undefined && end !== undefined && start < end;
      return isRange && name !== undefined ? [{ name, start, end }] : [];
    }),
    brokenLists,
  };
}
