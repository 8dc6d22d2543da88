import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { entryBits } from '@heki/x86';
import { hekiUpdate } from '../heki/heki-hooks.ts';
import type { KernelState } from '../kernel-state.ts';
import { fail } from '../outcome.ts';
import { changePageAttributes } from './page-attributes.ts';

const NONE = entryBits();
const XD = entryBits('XD');
const RW = entryBits('RW');
const P = entryBits('P');
const P_RW = entryBits('P', 'RW');
/** Since shadow stacks (6.4, 6.6) read-only pages are not dirty either: RW = 0 with D = 1 marks a shadow stack. */
const RW_D = entryBits('RW', 'D');
const RW_D_XD = entryBits('RW', 'D', 'XD');

const FOLLOWED = { aliases: true, flush: true } as const;

/** Gives up when Heki has refused. */
function checked(result: number): void {
  if (result !== 0) fail(-result, 'Heki refused the change');
}

const endOf = (start: VirtualFrame, pages: number): VirtualFrame => (start + pages) as VirtualFrame;

/*
 * The set_memory_* family (arch/x86/mm/pat/set_memory.c). All take a first page and a number of pages, and end with an error
 * as changePageAttributes does. Five of them call Heki first (Heki v2 16/19); the others are not hooked.
 */

/** `set_memory_ro`. */
export function setMemoryRo(kernel: KernelState, start: VirtualFrame, pages: number): void {
  checked(hekiUpdate(kernel, start, endOf(start, pages), 'clear', { writable: true }));
  changePageAttributes(kernel, start, pages, { set: NONE, clear: RW_D }, FOLLOWED);
}

/** `set_memory_rw`. */
export function setMemoryRw(kernel: KernelState, start: VirtualFrame, pages: number): void {
  checked(hekiUpdate(kernel, start, endOf(start, pages), 'set', { writable: true }));
  changePageAttributes(kernel, start, pages, { set: RW, clear: NONE }, FOLLOWED);
}

/** `set_memory_x`. Changes of NX alone have no aliases to follow. */
export function setMemoryX(kernel: KernelState, start: VirtualFrame, pages: number): void {
  checked(hekiUpdate(kernel, start, endOf(start, pages), 'clear', { noExecute: true }));
  changePageAttributes(kernel, start, pages, { set: NONE, clear: XD }, { aliases: false, flush: true });
}

/** `set_memory_nx`. */
export function setMemoryNx(kernel: KernelState, start: VirtualFrame, pages: number): void {
  checked(hekiUpdate(kernel, start, endOf(start, pages), 'set', { noExecute: true }));
  changePageAttributes(kernel, start, pages, { set: XD, clear: NONE }, { aliases: false, flush: true });
}

/** `set_memory_rox`. */
export function setMemoryRox(kernel: KernelState, start: VirtualFrame, pages: number): void {
  checked(hekiUpdate(kernel, start, endOf(start, pages), 'clear', { writable: true, noExecute: true }));
  changePageAttributes(kernel, start, pages, { set: NONE, clear: RW_D_XD }, FOLLOWED);
}

/** `set_memory_np`; not hooked. */
export function setMemoryNp(kernel: KernelState, start: VirtualFrame, pages: number): void {
  changePageAttributes(kernel, start, pages, { set: NONE, clear: P }, FOLLOWED);
}

/** `set_memory_np_noalias`, for the parts of the image that PTI hides; not hooked. */
export function setMemoryNpNoalias(kernel: KernelState, start: VirtualFrame, pages: number): void {
  changePageAttributes(kernel, start, pages, { set: NONE, clear: P }, { aliases: false, flush: true });
}

/** `set_memory_p`; not hooked. */
export function setMemoryP(kernel: KernelState, start: VirtualFrame, pages: number): void {
  changePageAttributes(kernel, start, pages, { set: P, clear: NONE }, FOLLOWED);
}

/** `set_direct_map_invalid_noflush`: one page of the direct map, no alias, no flush; not hooked. */
export function setDirectMapInvalid(kernel: KernelState, frame: Gfn): void {
  const page = (kernel.layout.directMap + frame) as VirtualFrame;
  changePageAttributes(kernel, page, 1, { set: NONE, clear: P_RW }, { aliases: false, flush: false });
}

/** `set_direct_map_default_noflush`. */
export function setDirectMapDefault(kernel: KernelState, frame: Gfn): void {
  const page = (kernel.layout.directMap + frame) as VirtualFrame;
  changePageAttributes(kernel, page, 1, { set: P_RW, clear: NONE }, { aliases: false, flush: false });
}
