import { Errno } from '@heki/hypercall/errno';
import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import { CPU_ENTRY_AREA, FIXMAP } from '../layout/layout.ts';
import { setMemoryRo } from '../mm/set-memory.ts';
import { PAGE_KERNEL, PAGE_KERNEL_RO, PAGE_KERNEL_UC, vmalloc, vmap } from '../mm/vmalloc.ts';
import { fail } from '../outcome.ts';
import type { TextState } from '../text/text-state.ts';
import { mapped } from './early-boot.ts';

/** A section of memory is 128 MiB; its `struct page`s fill 2 MiB. */
const SECTION = 2 ** 15;
const SECTION_MAP = 512;
/** Frames of the first I/O APIC and of the local APIC. */
const IO_APIC = 0xfec00 as Gfn;
const LOCAL_APIC = 0xfee00 as Gfn;
/** Memory below 1 MiB stays reserved. */
const ISA_END = 0x100;
/** Pages of an interrupt stack and of a thread's stack. */
const STACK_PAGES = 4;

/** `paging_init` with `sparse_init`: `struct page`s of every section that has RAM, in 2-MiB leaves; fixed mappings of the APICs. */
export function pagingInit({ tables, layout, memoryMap, boot }: TextState): void {
  const sections = new Set<number>();
  for (const { start, end, type } of memoryMap.entries) {
    if (type !== 'ram') continue;
    for (let section = Math.floor(start / SECTION); section * SECTION < end; section++) sections.add(section);
  }
  const sorted = [...sections].sort((a, b) => a - b);
  const target = boot.allocate(sorted.length * SECTION_MAP, SECTION_MAP);
  tables.edit(() => {
    for (const [index, section] of sorted.entries()) {
      const at = (layout.vmemmap + section * SECTION_MAP) as VirtualFrame;
      mapped(tables.map(at, SECTION_MAP, (target + index * SECTION_MAP) as Gfn, PAGE_KERNEL, 2));
    }
    mapped(tables.map(FIXMAP.ioApic, 1, IO_APIC, PAGE_KERNEL_UC, 1));
    mapped(tables.map(FIXMAP.localApic, 1, LOCAL_APIC, PAGE_KERNEL_UC, 1));
  });
}

/**
 * The cpu_entry_area of one processor: first page and pages of each part, counted from the page behind the IDT, and
 * whether it is read-only (arch/x86/include/asm/cpu_entry_area.h). Gaps are guard pages.
 */
const ENTRY_AREA = [
  { part: 'GDT', page: 0, pages: 1, bits: PAGE_KERNEL_RO },
  { part: 'entry stack', page: 1, pages: 1, bits: PAGE_KERNEL },
  { part: 'TSS', page: 2, pages: 5, bits: PAGE_KERNEL_RO },
  { part: '#DF stack', page: 8, pages: 2, bits: PAGE_KERNEL },
  { part: 'NMI stack', page: 11, pages: 2, bits: PAGE_KERNEL },
  { part: '#DB stack', page: 14, pages: 2, bits: PAGE_KERNEL },
  { part: '#MC stack', page: 17, pages: 2, bits: PAGE_KERNEL },
] as const;

/** `trap_init`: the IDT, read-only, and the processor's entry area over pages of its per-CPU memory. */
export function trapInit({ tables, image, boot }: TextState): void {
  tables.edit(() => {
    const map = (page: number, pages: number, target: Gfn, bits: U64): void =>
      mapped(tables.map((CPU_ENTRY_AREA + page) as VirtualFrame, pages, target, bits, 1));
    map(0, 1, image.guestFrame(image.frame('idt_table')), PAGE_KERNEL_RO);
    for (const { page, pages, bits } of ENTRY_AREA) map(1 + page, pages, boot.allocate(pages), bits);
  });
}

/** `mem_init`: free memory goes to the page allocator; the root gets tables for all of the vmalloc area. */
export function memInit(kernel: TextState): void {
  const { boot, pages, tables, layout } = kernel;
  for (const { start, end } of boot.freeRanges()) {
    const from = Math.max(start, ISA_END) as Gfn;
    if (from < end) pages.add({ start: from, end });
  }
  kernel.pagesReady = true;
  const { start, end } = layout.vmalloc;
  if (!tables.edit(() => tables.fillRoot(start, end))) fail(Errno.ENOMEM, 'no tables for the vmalloc area');
}

/** `init_IRQ`: the processor's interrupt stack, and the IDT, complete now, becomes read-only. */
export function initIrq(kernel: TextState): void {
  const frames: Gfn[] = [];
  for (let page = 0; page < STACK_PAGES; page++) {
    const frame = kernel.pages.allocate();
    if (frame === undefined) fail(Errno.ENOMEM, 'no memory for the interrupt stack');
    frames.push(frame);
  }
  vmap(kernel, frames, PAGE_KERNEL);
  setMemoryRo(kernel, kernel.image.frame('idt_table'), 1);
}

/** `rest_init`: the stacks of kernel_init and kthreadd. */
export function restInit(kernel: TextState): void {
  vmalloc(kernel, STACK_PAGES);
  vmalloc(kernel, STACK_PAGES);
  kernel.booting = false;
}
