import { type Gfn, hex, PAGE_WORDS } from '@heki/physical-memory';
import {
  addressHigh,
  CR0,
  CR4,
  EFER,
  EntryHigh,
  EntryLow,
  entryFrame,
  isLeaf,
  type Level,
  type PagingRegisters,
  pagingRegisters,
} from '@heki/x86';
import { VmcoreError } from './error.ts';
import { cpuAt, firstCpu, levelsOf, pagesIn64BitMode, rootOf } from './root/cpu-root.ts';
import type { KernelTables } from './root/kernel-tables.ts';
import type { Vmcore } from './vmcore.ts';

/** Table pages looked through for an execute-disable bit; a kernel has one among its first mappings. */
const NXE_SEARCH_TABLES = 4096;

/**
 * The registers by which CPU `index` of a dump (default: the first in 64-bit mode) translated addresses. EFER is not in QEMU's note: a 64-bit guest has
 * LME and LMA, and NXE is taken as set when a present entry that CR3 leads to has bit 63, which would otherwise be
 * reserved. PKRU and PKRS are not in the note either, and are taken as 0.
 *
 * @throws {VmcoreError} when the dump has no such CPU, or it was not in 64-bit mode's paging
 */
export function pagingRegistersOf(core: Vmcore, index: number = firstCpu(core)): PagingRegisters {
  const cpu = cpuAt(core, index);
  const { cr0, cr3, cr4, registers } = cpu;
  const nxe = usesExecuteDisable(core, rootOf(core, cr3), levelsOf(cpu));
  const efer = EFER.SCE | EFER.LME | EFER.LMA | (nxe ? EFER.NXE : 0n);
  return pagingRegisters({ cr0, cr3, cr4, efer, rflags: registers.rflags, pkru: 0, pkrs: 0 });
}

/**
 * The registers that go with `tables`: those of CPU `index`, by default of the first that walks as many levels, or, in a dump that has
 * those of no CPU, assumed ones ({@link assumedRegistersOf}). As {@link pagingRegistersOf}, but NXE is also set when `tables` have an entry
 * with bit 63: the CPU may have been stopped on others, which the dump does not hold.
 *
 * @throws {VmcoreError} when the dump has no such CPU, or it was not in 64-bit mode's paging
 */
export function registersOn(core: Vmcore, tables: KernelTables, index?: number): PagingRegisters {
  if (core.cpus.length === 0) return assumedRegistersOf(core, tables);
  const registers = pagingRegistersOf(core, index ?? cpuWith(core, tables));
  const nxe = usesExecuteDisable(core, tables.root, tables.levels) ? EFER.NXE : 0n;
  return { ...registers, efer: registers.efer | nxe };
}

/** The first CPU that walks as many levels as `tables` have. */
function cpuWith(core: Vmcore, { levels }: KernelTables): number {
  const found = core.cpus.findIndex((cpu) => pagesIn64BitMode(cpu) && levelsOf(cpu) === levels);
  if (found >= 0) return found;
  const first = firstCpu(core);
  const { cr4 } = cpuAt(core, first);
  throw new VmcoreError(
    `the kernel's page tables have ${levels} levels, and no CPU of the dump walks so many: CPU ${first} has CR4 ${hex(cr4)}`,
  );
}

/** CR0 of every x86-64 Linux (CR0_STATE in arch/x86/include/asm/processor-flags.h). */
const LINUX_CR0 = CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG;

/**
 * The registers of a CPU that runs on `tables`, for dumps without control registers (`cpus` is empty): /proc/vmcore, kdumps of
 * makedumpfile, raw images. CR3 and the levels are those of the tables, CR0 is Linux's own, NXE is inferred as by
 * {@link pagingRegistersOf}. Of CR4 nothing is taken that nothing shows: SMEP, SMAP, UMIP and their like count as off.
 */
export function assumedRegistersOf(core: Vmcore, tables: KernelTables): PagingRegisters {
  const nxe = usesExecuteDisable(core, tables.root, tables.levels);
  return pagingRegisters({
    cr0: LINUX_CR0,
    cr3: BigInt(tables.root) << 12n,
    cr4: CR4.PAE | (tables.levels === 5 ? CR4.LA57 : 0n),
    efer: EFER.SCE | EFER.LME | EFER.LMA | (nxe ? EFER.NXE : 0n),
    rflags: core.threads[0]?.registers.rflags ?? RFLAGS_FIXED,
    pkru: 0,
    pkrs: 0,
  });
}

/** Bit 1 of RFLAGS is always set (SDM 1 3.4.3). */
const RFLAGS_FIXED = 2n;

function usesExecuteDisable({ memory, encryption }: Vmcore, root: Gfn, levels: 4 | 5): boolean {
  const addressBits = addressHigh(encryption?.bit);
  const seen = new Set<Gfn>([root]);
  const queue: { table: Gfn; level: Level }[] = [{ table: root, level: levels }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const page = memory.page(next.table);
    if (page === undefined) continue;
    for (let word = 0; word < PAGE_WORDS; word += 2) {
      const low = page[word] ?? 0;
      const high = page[word + 1] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      if ((high & EntryHigh.XD) !== 0) return true;
      const table = entryFrame(low, high, addressBits);
      if (isLeaf(low, next.level) || seen.has(table) || seen.size >= NXE_SEARCH_TABLES) continue;
      seen.add(table);
      queue.push({ table, level: (next.level - 1) as Level });
    }
  }
  return false;
}
