import { frameOf, type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { CR0, CR4, cr3Root, type PagingLevels } from '@heki/x86';
import type { VmcoreCpu } from '../cpu-note.ts';
import { VmcoreError } from '../error.ts';
import type { Vmcore } from '../vmcore.ts';
import { directMapStarts } from './direct-map.ts';
import type { KernelTables } from './kernel-tables.ts';
import { kernelHalf, pairOf } from './pti-pair.ts';

/** A root table that was asked for outright, without proof that it is a kernel's. */
export interface ChosenRoot extends KernelTables {
  /** For people: `CR3 of CPU 1`. */
  readonly name: string;
}

/** CR3 bits 51:12 (SDM 3A 4.5.2) but the C-bit: bits below are flags or a PCID, bits above are reserved or LAM's. */
export function rootOf({ encryption }: Pick<Vmcore, 'encryption'>, cr3: bigint): Gfn {
  const root = cr3Root(cr3, { maxPhysicalAddressBits: 52, encryptionBit: encryption?.bit });
  return frameOf(root);
}

/** Whether the CPU translated by tables of 64-bit mode: PG and PAE are set. */
export function pagesIn64BitMode({ cr0, cr4 }: VmcoreCpu): boolean {
  return (cr0 & CR0.PG) !== 0n && (cr4 & CR4.PAE) !== 0n;
}

export function levelsOf({ cr4 }: VmcoreCpu): PagingLevels {
  return (cr4 & CR4.LA57) === 0n ? 4 : 5;
}

/**
 * The CPU with number `index`, from 0.
 *
 * @throws {VmcoreError} when the dump has no registers of it, or it was not in 64-bit mode
 */
export function cpuAt({ cpus }: Vmcore, index: number): VmcoreCpu {
  const cpu = cpus[index];
  if (cpu === undefined) {
    throw new VmcoreError(
      cpus.length === 0
        ? 'the dump has no registers of a CPU: expected notes as QEMU writes them'
        : `no registers of CPU ${index}: the dump has those of ${cpus.length === 1 ? 'CPU 0 alone' : `the CPUs 0 to ${cpus.length - 1}`}`,
    );
  }
  if (!pagesIn64BitMode(cpu)) {
    throw new VmcoreError(
      `CPU ${index} has CR0 ${hex(cpu.cr0)} and CR4 ${hex(cpu.cr4)}: expected PG and PAE, as in 64-bit mode`,
    );
  }
  return cpu;
}

/** The first CPU that was in 64-bit mode, or 0: others may not have been started. */
export function firstCpu({ cpus }: Vmcore): number {
  return Math.max(0, cpus.findIndex(pagesIn64BitMode));
}

/** Which address space is asked for. */
export interface AddressSpaceChoice {
  /** The CPU, from 0. Default: the first that was in 64-bit mode. */
  readonly cpu?: number | undefined;
  /** A value for CR3, in place of the CPU's. */
  readonly cr3?: bigint | undefined;
}

/**
 * The root of the address space that a CPU stands on, or would with another CR3: exactly that one, user half of page-table
 * isolation or not.
 *
 * @throws {VmcoreError} when the dump has no such CPU, or does not hold the table
 */
export function chosenRootOf(
  core: Vmcore,
  { cpu: index = firstCpu(core), cr3 }: AddressSpaceChoice = {},
): ChosenRoot {
  const levels =
    cr3 === undefined || core.cpus.length > 0
      ? levelsOf(cpuAt(core, index))
      : levelsOfKernel(core, rootOf(core, cr3));
  const value = cr3 ?? cpuAt(core, index).cr3;
  const root = rootOf(core, value);
  const name = cr3 === undefined ? `CR3 of CPU ${index}` : `CR3 ${hex(value)}`;
  if (core.memory.page(root) === undefined) {
    throw new VmcoreError(
      `the dump holds no page at ${hex(root * PAGE_SIZE)}, where ${name} has the root table`,
    );
  }
  return { memory: core.memory, root, levels, encryptionBit: core.encryption?.bit, name };
}

/** The root that user mode runs on, when `tables` are the kernel's half of a pair: there no user page can be executed. */
export function userHalfOf({ memory, root, encryptionBit }: KernelTables): Gfn | undefined {
  return kernelHalf(root) === root ? pairOf(memory, root, encryptionBit) : undefined;
}

/** The levels that VMCOREINFO tells, or else those with which the root maps itself, as a kernel's does. */
function levelsOfKernel({ memory, vmcoreinfo, encryption }: Vmcore, root: Gfn): PagingLevels {
  if (vmcoreinfo?.fiveLevel !== undefined) return vmcoreinfo.fiveLevel ? 5 : 4;
  const found = ([4, 5] as const).filter(
    (levels) => directMapStarts({ memory, root, levels, encryptionBit: encryption?.bit }).length > 0,
  );
  if (found[0] !== undefined && found.length === 1) return found[0];
  throw new VmcoreError(
    'the dump tells neither by registers nor by VMCOREINFO whether its kernel uses 4 or 5 levels, and the table does not show it',
  );
}
