import { frameOf, type Gfn, gpa, PAGE_WORDS, type PhysicalMemory } from '@heki/physical-memory';
import {
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
import type { VmcoreCpu } from './cpu-note.ts';
import { VmcoreError } from './error.ts';
import type { Vmcore } from './vmcore.ts';

/** Table pages looked through for an execute-disable bit; a kernel has one among its first mappings. */
const NXE_SEARCH_TABLES = 4096;

/**
 * The registers by which CPU `index` of a dump translated addresses. EFER is not in QEMU's note: a 64-bit guest has
 * LME and LMA, and NXE is taken as set when a present entry that CR3 leads to has bit 63, which would otherwise be
 * reserved. PKRU and PKRS are not in the note either, and are taken as 0.
 *
 * @throws {VmcoreError} when the dump has no such CPU, or it was not in 64-bit mode's paging
 */
export function pagingRegistersOf(core: Vmcore, index = 0): PagingRegisters {
  const cpu = core.cpus[index];
  if (cpu === undefined) {
    throw new VmcoreError(
      `no registers of CPU ${index}: the dump has QEMU notes of ${core.cpus.length} CPUs`,
    );
  }
  const { cr0, cr3, cr4, registers } = cpu;
  if (cr0 < 0x80000000n || (cr4 & CR4.PAE) === 0n) {
    throw new VmcoreError(
      `CPU ${index} has CR0 0x${cr0.toString(16)} and CR4 0x${cr4.toString(16)}: expected PG and PAE, as in 64-bit mode`,
    );
  }
  const nxe = usesExecuteDisable(core.memory, rootOf(cpu), (cr4 & CR4.LA57) !== 0n ? 5 : 4);
  const efer = EFER.SCE | EFER.LME | EFER.LMA | (nxe ? EFER.NXE : 0n);
  return pagingRegisters({ cr0, cr3, cr4, efer, rflags: registers.rflags, pkru: 0, pkrs: 0 });
}

/**
 * The root table of the kernel's half of the address space. That is CR3's, except that under page-table isolation a
 * CPU stopped in user mode may stand on the user's root (CR3 bit 12), which maps next to nothing of the kernel: then
 * it is swapper_pg_dir, if the dump holds it.
 *
 * @throws {VmcoreError} when the dump has no registers of CPU `index`
 */
export function kernelRootOf(core: Vmcore, index = 0): Gfn {
  const cpu = core.cpus[index];
  const own = core.vmcoreinfo?.swapperPgDir;
  const swapper =
    own === undefined || core.memory.page(frameOf(own)) === undefined ? undefined : frameOf(own);
  if (cpu === undefined) {
    if (swapper !== undefined) return swapper;
    throw new VmcoreError(
      `no root table: the dump has QEMU notes of ${core.cpus.length} CPUs and no swapper_pg_dir`,
    );
  }
  const root = rootOf(cpu);
  const userRoot = root % 2 === 1 && cpu.segments.cs.selector % 4 === 3;
  return userRoot && swapper !== undefined ? swapper : root;
}

/** CR3 bits 51:12 (SDM 3A 4.5.2): bits below are flags or a PCID, bits above are reserved or LAM's. */
function rootOf({ cr3 }: VmcoreCpu): Gfn {
  return frameOf(gpa(Number(BigInt.asUintN(52, cr3))));
}

function usesExecuteDisable(memory: PhysicalMemory<Gfn>, root: Gfn, levels: 4 | 5): boolean {
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
      const table = entryFrame(low, high);
      if (isLeaf(low, next.level) || seen.has(table) || seen.size >= NXE_SEARCH_TABLES) continue;
      seen.add(table);
      queue.push({ table, level: (next.level - 1) as Level });
    }
  }
  return false;
}
