import { createKernelNames, kaslrOffset, readImageSymbols } from '@heki/symbols';
import { loadedCrashKernel, type ProvenRoot, type Vmcore, virtualMemoryOf } from '@heki/vmcore';
import type { Sidecar } from '../sidecar.ts';
import { vmcoreinfoSymbols } from '../snapshot.ts';
import type { Names } from './names.ts';

/** The names of what is in a kernel by its own kallsyms, as far as a dump has it. */
export function ownNames(core: Vmcore, tables: ProvenRoot, sidecar: Sidecar | undefined): Names {
  const { vmcoreinfo } = core;
  const memory = virtualMemoryOf(tables);
  const own = readImageSymbols(tables, vmcoreinfo, memory);
  const symbols = typeof own === 'object' ? own.table : undefined;
  const beside = new Map([...vmcoreinfoSymbols(core), ...(sidecar?.symbols ?? [])]);
  return {
    kernel: createKernelNames(tables, {
      vmcoreinfo,
      symbols,
      exact: beside,
      memory,
      crashKernel: () => loadedCrashKernel(tables),
    }),
    memory,
    image: undefined,
    source:
      typeof own === 'object' ? { kind: 'kallsyms', by: own.from } : { kind: 'none', why: `kallsyms ${own}` },
    kaslr: kaslrOffset(vmcoreinfo, symbols?.named('_text')[0]?.address, undefined),
    beside,
    warnings: [],
  };
}
