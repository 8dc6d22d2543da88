import { Errno } from '@heki/hypercall/errno';
import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import { entryBits, type LeafLevel } from '@heki/x86';
import { hekiMap } from '../heki/heki-hooks.ts';
import type { AddressLayout } from '../layout/layout.ts';
import { createVirtualSpace, type VirtualSpace } from '../layout/virtual-space.ts';
import { attempt, fail, KernelStop } from '../outcome.ts';
import { MappingChange } from './mapping-change.ts';
import type { MmState } from './mm-state.ts';
import { setDirectMapDefault, setDirectMapInvalid } from './set-memory.ts';
import type { VmArea, Vmalloc } from './vm-area.ts';

/** `PAGE_KERNEL`: writable, global, not executable. */
export const PAGE_KERNEL: U64 = entryBits('P', 'RW', 'A', 'D', 'G', 'XD');
/** `PAGE_KERNEL_RO`. */
export const PAGE_KERNEL_RO: U64 = entryBits('P', 'A', 'G', 'XD');
/** `PAGE_KERNEL_NOCACHE`, of ioremap: UC-. */
const PAGE_KERNEL_NOCACHE: U64 = entryBits('P', 'RW', 'A', 'D', 'G', 'XD', 'PCD');
/** Of fixed mappings of devices: UC. */
export const PAGE_KERNEL_UC: U64 = entryBits('P', 'RW', 'A', 'D', 'G', 'XD', 'PCD', 'PWT');

/** Pages of unmapped areas that wait for one flush of all (`lazy_max_pages` of one processor, 32 MiB). */
const LAZY_PAGES = 8192;
/** IOREMAP_MAX_ORDER: areas of devices are aligned to their size, at most to 1 GiB. */
const IOREMAP_ALIGNMENT = 2 ** 18;

/** A kernel's empty vmalloc and module areas. */
export function createVmalloc({ vmalloc, modules, moduleOffset }: AddressLayout): Vmalloc {
  const start = (modules.start + moduleOffset) as VirtualFrame;
  return {
    area: createVirtualSpace(vmalloc),
    modules: createVirtualSpace({ start, end: modules.end }),
    areas: new Map(),
    lazy: [],
  };
}

/** `vmalloc`: pages from the page allocator, wherever they lie, in a row. @throws {KernelStop} -ENOMEM, or Heki's refusal */
export function vmalloc(kernel: MmState, pages: number): VmArea {
  return allocateArea(kernel, kernel.vmalloc.area, pages, false);
}

/** `module_alloc`: the same near the kernel image. @throws {KernelStop} as {@link vmalloc} */
export function moduleAlloc(kernel: MmState, pages: number): VmArea {
  return allocateArea(kernel, kernel.vmalloc.modules, pages, true);
}

/** `vmap`: frames that stay their owner's. @throws {KernelStop} as {@link vmalloc} */
export function vmap(kernel: MmState, frames: readonly Gfn[], bits: U64): VmArea {
  const area = openArea(kernel, kernel.vmalloc.area, frames.length, [], 1, false);
  mapSmallPages(kernel, area, frames, bits);
  return area;
}

/** `ioremap`: `pages` frames of a device from `frame` on, in large leaves where they fit. @throws {KernelStop} as {@link vmalloc} */
export function ioremap(kernel: MmState, frame: Gfn, pages: number): VmArea {
  const alignment = Math.min(2 ** Math.ceil(Math.log2(pages)), IOREMAP_ALIGNMENT);
  const area = openArea(kernel, kernel.vmalloc.area, pages, [], alignment, false);
  const { start } = area;
  const end = (start + pages) as VirtualFrame;
  const result = kernel.tables.edit(() => kernel.tables.map(start, pages, frame, PAGE_KERNEL_NOCACHE, 3));
  kernel.emit({ type: 'mapped', range: { start, end } });
  // vmap_range_noflush calls Heki whether or not it could map all.
  const refused = hekiMap(kernel, start, end);
  if (result.stoppedAt !== undefined || refused !== 0) {
    undo(kernel, area, refused === 0 ? 'counted' : 'unknown to Heki');
    fail(refused === 0 ? Errno.ENOMEM : -refused, result.why ?? 'Heki refused the mapping');
  }
  return area;
}

/**
 * `vfree`, `vunmap`, `iounmap`: unmaps an area and frees what belongs to it.
 *
 * @throws {KernelStop} when Heki refuses: the area then stays
 */
export function vfree(kernel: MmState, area: VmArea): void {
  const { start, pages, frames, resetPermissions } = area;
  unmapRange(kernel, start, (start + pages) as VirtualFrame);
  kernel.vmalloc.areas.delete(start);
  kernel.vmalloc.lazy.push(area);
  if (resetPermissions) resetDirectMap(kernel, frames);
  else if (kernel.vmalloc.lazy.reduce((sum, one) => sum + one.pages, 0) > LAZY_PAGES) purge(kernel);
  // Frames are reused at once, also while translations of a plain area are still cached.
  for (const frame of frames) kernel.pages.free(frame);
}

/** `vm_unmap_aliases`: one flush for all areas that were unmapped; their addresses may be used again. */
function purge(kernel: MmState): void {
  const { vmalloc: state } = kernel;
  kernel.memory.flush('all');
  for (const { space, start, pages } of state.lazy) space.free(start, pages + 1);
  state.lazy = [];
}

function allocateArea(
  kernel: MmState,
  space: VirtualSpace,
  pages: number,
  resetPermissions: boolean,
): VmArea {
  const frames: Gfn[] = [];
  for (let page = 0; page < pages; page++) {
    const frame = kernel.pages.allocate();
    if (frame === undefined) {
      for (const taken of frames) kernel.pages.free(taken);
      fail(Errno.ENOMEM, `no memory for ${pages} pages`);
    }
    frames.push(frame);
  }
  const area = openArea(kernel, space, pages, frames, 1, resetPermissions);
  mapSmallPages(kernel, area, frames, PAGE_KERNEL);
  return area;
}

/** `__get_vm_area_node`: addresses, with the guard page. */
function openArea(
  kernel: MmState,
  space: VirtualSpace,
  pages: number,
  frames: readonly Gfn[],
  alignment: number,
  resetPermissions: boolean,
): VmArea {
  let start = space.allocate(pages + 1, alignment);
  if (start === undefined) {
    purge(kernel);
    start = space.allocate(pages + 1, alignment);
  }
  if (start === undefined) {
    for (const frame of frames) kernel.pages.free(frame);
    return fail(Errno.ENOMEM, `no addresses for ${pages} pages`);
  }
  const area = { start, pages, frames, space, resetPermissions };
  kernel.vmalloc.areas.set(start, area);
  return area;
}

/** `vmap_small_pages_range_noflush`: 4-KiB leaves, and Heki when all are there. */
function mapSmallPages(kernel: MmState, area: VmArea, frames: readonly Gfn[], bits: U64): void {
  const { start, pages } = area;
  const end = (start + pages) as VirtualFrame;
  const why = kernel.tables.edit(() => mapRuns(kernel, start, frames, bits));
  if (why !== undefined) {
    // The caller takes down what there is. As published, Heki hears of an unmapping whose mapping it never heard of.
    if (kernel.defects['B-G10']) vfree(kernel, area);
    else undo(kernel, area, 'unknown to Heki');
    fail(Errno.ENOMEM, `mapping ended early: ${why}`);
  }
  kernel.emit({ type: 'mapped', range: { start, end } });
  const refused = hekiMap(kernel, start, end);
  if (refused === 0) return;
  undo(kernel, area, 'unknown to Heki');
  fail(-refused, 'Heki refused the mapping');
}

/** Maps scattered frames, neighbours together. Why it ended early, if it did. */
function mapRuns(
  kernel: MmState,
  start: VirtualFrame,
  frames: readonly Gfn[],
  bits: U64,
): string | undefined {
  const leaf: LeafLevel = 1;
  for (let first = 0; first < frames.length; ) {
    const target = frames[first] ?? (0 as Gfn);
    let count = 1;
    while (frames[first + count] === target + count) count++;
    const result = kernel.tables.map((start + first) as VirtualFrame, count, target, bits, leaf);
    if (result.why !== undefined) return result.why;
    first += count;
  }
  return undefined;
}

/** Takes an area down that could not be mapped as a whole, or that Heki refused; with a hook only if Heki counts it. */
function undo(kernel: MmState, area: VmArea, known: 'counted' | 'unknown to Heki'): void {
  const { start, pages, frames, space } = area;
  const end = (start + pages) as VirtualFrame;
  if (known === 'counted') unmapRange(kernel, start, end);
  else kernel.tables.edit(() => kernel.tables.unmap(start, end, false));
  kernel.vmalloc.areas.delete(start);
  space.free(start, pages + 1);
  for (const frame of frames) kernel.pages.free(frame);
}

/** `__vunmap_range_noflush`: Heki first, then the tables. */
function unmapRange(kernel: MmState, start: VirtualFrame, end: VirtualFrame): void {
  const mappings = new MappingChange(kernel);
  const refused = mappings.unmap(start, end);
  if (refused !== 0)
    throw new KernelStop({ kind: 'error', errno: refused, why: 'Heki refused the unmapping' });
  mappings.edit(() => kernel.tables.unmap(start, end, true));
  kernel.emit({ type: 'unmapped', range: { start, end } });
}

/**
 * `vm_reset_perms`: the direct map of the frames goes, everything is flushed, and it comes back as for data. That there is no
 * page to split a leaf of it, is not checked.
 */
function resetDirectMap(kernel: MmState, frames: readonly Gfn[]): void {
  const each = (set: typeof setDirectMapDefault): void => {
    const mappings = new MappingChange(kernel);
    mappings.edit(() => {
      for (const frame of frames) {
        const outcome = attempt(() => set(kernel, frame, mappings));
        if (outcome.kind !== 'done' && outcome.kind !== 'error') throw new KernelStop(outcome);
      }
    });
  };
  each(setDirectMapInvalid);
  purge(kernel);
  each(setDirectMapDefault);
}
