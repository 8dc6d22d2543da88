import { hex, type VirtualAddress } from '@heki/physical-memory';
import {
  type AddressSpaceChoice,
  type ChosenRoot,
  chosenRootOf,
  type ProvenRoot,
  registersOn,
  resolveKernelRoot,
  type Vmcore,
  VmcoreError,
} from '@heki/vmcore';
import type { PagingRegisters } from '@heki/x86';
import { UsageError } from './failure.ts';

/** Options by which an address space is asked for. */
export interface AddressSpaceOptions {
  /** Number of a CPU, from 0. */
  readonly cpuIndex?: number;
  /** A value for CR3. */
  readonly cr3?: bigint;
  /** The C-bit of memory encryption. */
  readonly cBit?: number;
  /** Whether a guest that runs goes on while it is read, where that can be. */
  readonly whileItRuns?: boolean;
}

/** A dump that is open, with what every command needs of it. */
export interface Snapshot<Tables extends ProvenRoot | ChosenRoot = ProvenRoot> {
  readonly core: Vmcore;
  /** The page tables: those that proved to be the kernel's, or those of the address space that was asked for. */
  readonly tables: Tables;
  /** The registers by which the CPU that goes with the tables translates. CR3 is as in the dump, unless an address space was named by it. */
  readonly registers: PagingRegisters;
}

/**
 * The kernel's page tables in a dump. With options, the address space that they name has to be the kernel's.
 *
 * @throws {VmcoreError} when it has no registers, or nothing in it proves to be a kernel's
 * @throws {UsageError} when the options name what it does not have
 */
export function snapshotOf(core: Vmcore, options: AddressSpaceOptions = {}): Snapshot {
  const choice = choiceOf(options);
  if (choice !== undefined) chosenRoot(core, options);
  const tables = kernelRoot(core, choice);
  return { core, tables, registers: registersOn(core, tables, tables.origin.cpu) };
}

/**
 * The address space of a dump that the options name, exactly as it is. Without any, it is the kernel's, or, for what does not belong
 * to the kernel, the one that the first CPU stands on.
 *
 * @throws {VmcoreError} as {@link snapshotOf}, or when the dump does not hold the root table
 * @throws {UsageError} when the options name what it does not have
 */
export function addressSpaceOf(
  core: Vmcore,
  options: AddressSpaceOptions,
  what: 'kernel' | 'user',
): Snapshot<ProvenRoot | ChosenRoot> {
  if (what === 'kernel' && choiceOf(options) === undefined) return snapshotOf(core, options);
  const tables = chosenRoot(core, options);
  const registers = registersOn(core, tables, options.cpuIndex);
  const { cr3 = registers.cr3 } = options;
  return { core, tables, registers: { ...registers, cr3 } };
}

/** Which page tables were taken and why, as lines for people. */
export function tablesLines(tables: ProvenRoot | ChosenRoot): string[] {
  const at = `page tables at ${hex(tables.root * 4096)}`;
  if (!('origin' in tables)) return [`${at}, ${tables.name}, as it is: nothing says that it is the kernel's`];
  return [`${at}, ${tables.origin.name},`, `proven by ${tables.because}`];
}

/** The same as programs read it. */
export function tablesJson(tables: ProvenRoot | ChosenRoot): object {
  const { root, levels } = tables;
  const at = { root: hex(root * 4096), levels };
  if (!('origin' in tables)) return { ...at, from: tables.name, proven: false };
  const { origin, because, directMap } = tables;
  return {
    ...at,
    from: origin.name,
    proven: true,
    provenBy: because,
    directMap: hex(BigInt(directMap.start) << 12n),
    cpu: origin.cpu ?? null,
    refused: origin.refused.map(({ name, root: other, why }) => ({
      from: name,
      root: hex(other * 4096),
      why,
    })),
  };
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

function choiceOf({ cpuIndex, cr3 }: AddressSpaceOptions): AddressSpaceChoice | undefined {
  if (cpuIndex === undefined && cr3 === undefined) return undefined;
  return { cpu: cpuIndex, cr3 };
}

/** @throws {VmcoreError} when nothing proves to be the kernel's, with what the user can do about it */
function kernelRoot(core: Vmcore, choice: AddressSpaceChoice | undefined): ProvenRoot {
  try {
    return resolveKernelRoot(core, choice);
  } catch (cause) {
    if (!(cause instanceof VmcoreError) || choice !== undefined) throw cause;
    throw new VmcoreError(`${cause.message} (--cpu-index and --cr3 name an address space)`, { cause });
  }
}

/** The address space that the options name. @throws {UsageError} when the dump does not have it */
function chosenRoot(core: Vmcore, options: AddressSpaceOptions): ChosenRoot {
  try {
    return chosenRootOf(core, choiceOf(options));
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    const { cpuIndex, cr3 } = options;
    const named = [
      ...(cpuIndex === undefined ? [] : [`--cpu-index ${cpuIndex}`]),
      ...(cr3 === undefined ? [] : [`--cr3 ${hex(cr3)}`]),
    ];
    if (named.length === 0) {
      throw new VmcoreError(`${error.message} (--cpu-index and --cr3 name an address space)`, {
        cause: error,
      });
    }
    throw new UsageError(`${named.join(' ')}: ${error.message}`);
  }
}
