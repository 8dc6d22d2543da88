import { type Gfn, PAGE_SIZE, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { directAddress } from '../layout/layout.ts';
import { setMemoryNpNoalias, setMemoryNx, setMemoryRo, setMemoryRw, setMemoryX } from '../mm/set-memory.ts';
import type { SmpState } from '../smp/smp-state.ts';
import { setupRealMode } from '../smp/trampoline.ts';

/** What freed pages are filled with: int3 (POISON_FREE_INITMEM). */
const POISON = 0xcc;

/** `free_init_pages`: pages of the image become plain data, are poisoned, and go to the page allocator. */
function freeInitPages(kernel: SmpState, what: string, start: VirtualFrame, end: VirtualFrame): void {
  if (start >= end) return;
  const { image, layout, memory, pages, emit } = kernel;
  setMemoryNx(kernel, start, end - start);
  setMemoryRw(kernel, start, end - start);
  const range = { start: image.guestFrame(start), end: image.guestFrame(end) };
  const poison = new Uint8Array(PAGE_SIZE).fill(POISON);
  for (let frame: Gfn = range.start; frame < range.end; frame = (frame + 1) as Gfn) {
    memory.store(directAddress(layout, frame), poison);
  }
  pages.add(range);
  emit({ type: 'log', text: `Freeing ${what} memory: ${((end - start) * PAGE_SIZE) / 1024}K` });
  emit({ type: 'pages-freed', what, range: { start, end } });
}

/** `free_kernel_image_pages`: the same; under PTI the image's own mapping goes, which user programs could reach by speculation. */
function freeImagePages(kernel: SmpState, what: string, start: VirtualFrame, end: VirtualFrame): void {
  freeInitPages(kernel, `unused kernel image (${what})`, start, end);
  if (kernel.parameters.pti && start < end) setMemoryNpNoalias(kernel, start, end - start);
}

/** `alternative_instructions`: on a single processor the list of lock prefixes is not needed any more. */
export function freeSmpLocks(kernel: SmpState): void {
  const { image, processors, parameters } = kernel;
  if (Math.min(processors.possible.length, parameters.maxProcessors) > 1) return;
  freeInitPages(kernel, 'SMP alternatives', image.frame('__init_end'), image.frame('__nosave_begin'));
}

/** `init_real_mode`, `set_real_mode_permissions`: through the direct map, which alone maps the trampoline. */
export function initRealMode(kernel: SmpState): void {
  setupRealMode(kernel);
  const { pages, readOnly, textStart, textEnd } = kernel.build.trampoline;
  const base = kernel.layout.directMap + kernel.trampoline;
  setMemoryNx(kernel, base as VirtualFrame, pages);
  setMemoryRo(kernel, base as VirtualFrame, readOnly);
  setMemoryX(kernel, (base + textStart) as VirtualFrame, textEnd - textStart);
}

/** `free_initmem`. */
export function freeInitmem(kernel: SmpState): void {
  const { image } = kernel;
  const unused = image.frame('__start_bss_decrypted_unused');
  freeInitPages(kernel, 'unused decrypted', unused, image.frame('__bss_stop'));
  freeImagePages(kernel, 'initmem', image.frame('__init_begin'), image.frame('__init_end'));
}

/** `mark_readonly` and `mark_rodata_ro` (arch/x86/mm/init_64.c). */
export function markRodataRo(kernel: SmpState): void {
  const { image, parameters, emit } = kernel;
  if (!parameters.rodata) {
    emit({ type: 'log', text: 'Kernel memory protection disabled.' });
    return;
  }
  const textEnd = image.frame('_etext');
  const readOnly = image.endRodataHuge - image.start;
  emit({
    type: 'log',
    text: `Write protecting the kernel read-only data: ${(readOnly * PAGE_SIZE) / 1024}k`,
  });
  setMemoryRo(kernel, image.start, readOnly);
  kernel.setToReadonly = true;
  setMemoryNx(kernel, textEnd, image.end - textEnd);
  freeImagePages(kernel, 'text/rodata gap', textEnd, image.frame('__start_rodata'));
  freeImagePages(kernel, 'rodata/data gap', image.frame('__end_rodata'), image.frame('_sdata'));
  checkWx(kernel);
}

/** `debug_checkwx`: looks for mappings that can be written and executed, and finds only those: not pages with two mappings. */
function checkWx({ tables, memory, emit, layout }: SmpState): void {
  let found = 0;
  tables.edit(() => {
    const { root, levels } = tables;
    walkMappings(
      { memory: memory.tables, root, levels },
      upperHalfStart(layout.levels),
      VIRTUAL_FRAME_END as VirtualFrame,
      ({ effective, frames }) => {
        const writable = (effective & PageRights.WRITE) !== 0;
        if (writable && (effective & PageRights.EXECUTE_DISABLE) === 0) found += frames;
      },
    );
  });
  const verdict = found === 0 ? 'passed, no W+X pages found.' : `FAILED, ${found} W+X pages found.`;
  emit({ type: 'log', text: `x86/mm: Checked W+X mappings: ${verdict}` });
}
