import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { kernelRootOf, openVmcore, pagingRegistersOf, type Vmcore, VmcoreError } from '@heki/vmcore';
import { CR4, type PagingLevels, type PagingRegisters } from '@heki/x86';
import { InputError } from './failure.ts';

/**
 * Page-table pages that are walked before the command gives up: 512 GiB mapped by 4-KiB pages. In a damaged dump tables
 * may point to each other, and have as many mappings as there are addresses.
 */
export const MOST_TABLES = 2 ** 18;

/** A dump that is open, with what every command needs of it. */
export interface Snapshot {
  readonly core: Vmcore;
  /** The registers by which the first CPU translates. CR3 is as in the dump. */
  readonly registers: PagingRegisters;
  /** Root of the kernel's page tables. */
  readonly kernelRoot: Gfn;
  readonly levels: PagingLevels;
}

/** Opens the ELF core at `path`. @throws {InputError} when it is none, or has no registers */
export function openSnapshot(path: string): Snapshot {
  return withPath(path, () => {
    const core = openVmcore(path);
    const registers = pagingRegistersOf(core);
    return {
      core,
      registers,
      kernelRoot: kernelRootOf(core),
      levels: (registers.cr4 & CR4.LA57) === 0n ? 4 : 5,
    };
  });
}

/** What `read` makes of the dump at `path`. @throws {InputError} with the path, when the dump is damaged */
export function withPath<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    throw new InputError(error.message.startsWith(path) ? error.message : `${path}: ${error.message}`);
  }
}

/** The kernel symbols that VMCOREINFO names. */
export function vmcoreinfoSymbols(core: Vmcore): Map<string, VirtualAddress> {
  const symbols = new Map<string, VirtualAddress>();
  for (const key of core.vmcoreinfo?.values.keys() ?? []) {
    const name = /^SYMBOL\((\w+)\)$/.exec(key)?.[1];
    const address = name === undefined ? undefined : core.vmcoreinfo?.symbol(name);
    if (name !== undefined && address !== undefined) symbols.set(name, address);
  }
  return symbols;
}
