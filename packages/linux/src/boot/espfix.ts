import { Errno } from '@heki/hypercall/errno';
import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { entryFrame, framesOfLevel, type Level } from '@heki/x86';
import { ESPFIX } from '../layout/layout.ts';
import type { MmState } from '../mm/mm-state.ts';
import { PAGE_KERNEL_RO } from '../mm/vmalloc.ts';
import { fail } from '../outcome.ts';
import { createRandom } from '../random.ts';
import { mapped } from './early-boot.ts';

/** ESPFIX_MAX_PAGES of 8,192 processors, 64 of which share a page. */
const MAX_PAGES = 128;
/** A page is mapped at its place in each 64 KiB of 4 GiB, because the upper half of the stack pointer is what a return to 16-bit code leaks. */
const PTE_STRIDE = 16;
const PUD_CLONES = 4;
const ENTRIES = 512;

/**
 * `init_espfix_bsp` (arch/x86/kernel/espfix_64.c): one page of small stacks, read-only, mapped 65,536 times by means of tables that
 * are entered again and again. Processors 0 to 63 share it.
 */
export function initEspfix(kernel: MmState): void {
  const { build, tables, kaslrSeed, memory } = kernel;
  if (!build.espfix) return;
  const number = kaslrSeed === undefined ? 0 : createRandom(kaslrSeed + 1).below(MAX_PAGES);
  const start = (ESPFIX +
    Math.floor(number / PTE_STRIDE) * PUD_CLONES * framesOfLevel(3) +
    (number % PTE_STRIDE)) as VirtualFrame;
  const page = kernel.pages.allocate() ?? fail(Errno.ENOMEM, 'no page for the espfix stacks');
  tables.edit(() => {
    mapped(tables.map(start, 1, page, PAGE_KERNEL_RO, 1));
    const edited = memory.tables;
    let table: Gfn = tables.root;
    for (let level = tables.levels as number; level >= 1; level--) {
      const slot = Math.floor(start / framesOfLevel(level as Level)) % ENTRIES;
      const { low, high } = edited.entry(table, slot);
      const [stride, clones] = level === 1 ? [PTE_STRIDE, ENTRIES / PTE_STRIDE] : [1, CLONES[level] ?? 1];
      for (let clone = 1; clone < clones; clone++) edited.setEntry(table, slot + clone * stride, low, high);
      table = entryFrame(low, high);
    }
  });
}

/** Entries that lead to the same table, by level. */
const CLONES: Readonly<Record<number, number>> = { 2: ENTRIES, 3: PUD_CLONES };
