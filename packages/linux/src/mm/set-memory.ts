import type { ProtectionBits } from '@heki/guest';
import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { entryBits } from '@heki/x86';
import { attempt, fail, KernelStop } from '../outcome.ts';
import type { AttributeChange } from './attribute-change.ts';
import { MappingChange } from './mapping-change.ts';
import type { MmState } from './mm-state.ts';
import { type AttributeOptions, changePageAttributes } from './page-attributes.ts';

const NONE = entryBits();
const XD = entryBits('XD');
const RW = entryBits('RW');
const P = entryBits('P');
const P_RW = entryBits('P', 'RW');
/** Since shadow stacks (6.4, 6.6) read-only pages are not dirty either: RW = 0 with D = 1 marks a shadow stack. */
const RW_D = entryBits('RW', 'D');
const RW_D_XD = entryBits('RW', 'D', 'XD');

const FOLLOWED = { aliases: true, flush: true } as const;

/** The protection bits that Heki is told a call sets or clears. */
interface ToldChange {
  readonly operation: 'set' | 'clear';
  readonly bits: ProtectionBits;
}

/** One of the five functions that call Heki first, whatever change_page_attr will then do (Heki v2 16/19). */
function changeHooked(
  kernel: MmState,
  start: VirtualFrame,
  pages: number,
  { operation, bits }: ToldChange,
  change: AttributeChange,
  options: AttributeOptions,
): void {
  const told = kernel.defects['B-G11'] ? pagesOfInt(pages) : pages;
  const mappings = new MappingChange(kernel);
  const refused = mappings.update(start, (start + told) as VirtualFrame, operation, bits);
  if (refused !== 0) fail(-refused, 'Heki refused the change');
  const outcome = attempt(() => changePageAttributes(mappings, start, pages, change, options));
  if (outcome.kind === 'done') return;
  if (outcome.kind === 'error') mappings.updateFailed(start, (start + pages) as VirtualFrame, change);
  throw new KernelStop(outcome);
}

/** Pages in `numpages << PAGE_SHIFT` when that is an int, as it is in C: negative from 2 GiB on, and no more than a part from 4 GiB on. */
const pagesOfInt = (pages: number): number => Number(BigInt.asIntN(32, BigInt(pages) * 4096n) / 4096n);

/*
 * The set_memory_* family (arch/x86/mm/pat/set_memory.c). All take a first page and a number of pages, and end with an error
 * as changePageAttributes does. Five of them call Heki first (Heki v2 16/19); the others are not hooked.
 */

/** `set_memory_ro`. */
export function setMemoryRo(kernel: MmState, start: VirtualFrame, pages: number): void {
  changeHooked(
    kernel,
    start,
    pages,
    { operation: 'clear', bits: { writable: true } },
    { set: NONE, clear: RW_D },
    FOLLOWED,
  );
}

/** `set_memory_rw`. */
export function setMemoryRw(kernel: MmState, start: VirtualFrame, pages: number): void {
  changeHooked(
    kernel,
    start,
    pages,
    { operation: 'set', bits: { writable: true } },
    { set: RW, clear: NONE },
    FOLLOWED,
  );
}

/** `set_memory_x`. Changes of NX alone have no aliases to follow. */
export function setMemoryX(kernel: MmState, start: VirtualFrame, pages: number): void {
  changeHooked(
    kernel,
    start,
    pages,
    { operation: 'clear', bits: { noExecute: true } },
    { set: NONE, clear: XD },
    { aliases: false, flush: true },
  );
}

/** `set_memory_nx`. */
export function setMemoryNx(kernel: MmState, start: VirtualFrame, pages: number): void {
  changeHooked(
    kernel,
    start,
    pages,
    { operation: 'set', bits: { noExecute: true } },
    { set: XD, clear: NONE },
    { aliases: false, flush: true },
  );
}

/** `set_memory_rox`. */
export function setMemoryRox(kernel: MmState, start: VirtualFrame, pages: number): void {
  changeHooked(
    kernel,
    start,
    pages,
    { operation: 'clear', bits: { writable: true, noExecute: true } },
    { set: NONE, clear: RW_D_XD },
    FOLLOWED,
  );
}

/** `set_memory_np`; not hooked. */
export function setMemoryNp(kernel: MmState, start: VirtualFrame, pages: number): void {
  changePageAttributes(new MappingChange(kernel), start, pages, { set: NONE, clear: P }, FOLLOWED);
}

/** `set_memory_np_noalias`, for the parts of the image that PTI hides; not hooked. */
export function setMemoryNpNoalias(kernel: MmState, start: VirtualFrame, pages: number): void {
  changePageAttributes(
    new MappingChange(kernel),
    start,
    pages,
    { set: NONE, clear: P },
    { aliases: false, flush: true },
  );
}

/** `set_memory_p`; not hooked. */
export function setMemoryP(kernel: MmState, start: VirtualFrame, pages: number): void {
  changePageAttributes(new MappingChange(kernel), start, pages, { set: P, clear: NONE }, FOLLOWED);
}

/** `set_direct_map_invalid_noflush`: one page of the direct map, no alias, no flush; not hooked. May be part of a larger change. */
export function setDirectMapInvalid(
  kernel: MmState,
  frame: Gfn,
  mappings: MappingChange = new MappingChange(kernel),
): void {
  const page = (kernel.layout.directMap + frame) as VirtualFrame;
  changePageAttributes(mappings, page, 1, { set: NONE, clear: P_RW }, { aliases: false, flush: false });
}

/** `set_direct_map_default_noflush`. */
export function setDirectMapDefault(
  kernel: MmState,
  frame: Gfn,
  mappings: MappingChange = new MappingChange(kernel),
): void {
  const page = (kernel.layout.directMap + frame) as VirtualFrame;
  changePageAttributes(mappings, page, 1, { set: P_RW, clear: NONE }, { aliases: false, flush: false });
}
