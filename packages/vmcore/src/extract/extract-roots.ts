import { frameOf, type Gfn, gpa, type PageView } from '@heki/physical-memory';
import { CR0, CR4, EntryLow, entryFrame, type PagingLevels } from '@heki/x86';
import { VmcoreError } from '../error.ts';
import type { Vmcore } from '../vmcore.ts';
import { type TableRoot, UPPER_HALF } from './table-pages.ts';

/** A root table of a dump, and what makes it one. */
export interface ExtractRoot extends TableRoot {
  readonly from: 'cr3' | 'pti-pair' | 'swapper-pg-dir';
  /** The CPU whose CR3 it is, for the first of them. */
  readonly cpu?: number;
}

/**
 * The root tables that a reader of the dump may want: CR3 of every CPU that had paging on in 64-bit mode, the other
 * root of a pair of page-table isolation, and swapper_pg_dir. Each once, in this order.
 *
 * @throws {VmcoreError} when the dump holds none
 */
export function extractRoots(core: Vmcore): ExtractRoot[] {
  const roots = new Map<Gfn, ExtractRoot>();
  const add = (root: ExtractRoot): void => {
    if (core.memory.page(root.frame) !== undefined && !roots.has(root.frame)) roots.set(root.frame, root);
  };
  for (const [cpu, { cr0, cr3, cr4 }] of core.cpus.entries()) {
    if ((cr0 & CR0.PG) === 0n || (cr4 & CR4.PAE) === 0n) continue;
    const frame = frameOf(gpa(Number(BigInt.asUintN(52, cr3))));
    const levels: PagingLevels = (cr4 & CR4.LA57) === 0n ? 4 : 5;
    add({ frame, levels, from: 'cr3', cpu });
    const other = pairOf(core, frame);
    if (other !== undefined) add({ frame: other, levels, from: 'pti-pair' });
  }
  const swapper = core.vmcoreinfo?.swapperPgDir;
  if (swapper !== undefined) {
    const known = roots.values().next().value?.levels;
    add({
      frame: frameOf(swapper),
      levels: known ?? (core.vmcoreinfo?.fiveLevel === true ? 5 : 4),
      from: 'swapper-pg-dir',
    });
  }
  if (roots.size === 0) {
    throw new VmcoreError(
      `no root table: none of the ${core.cpus.length} CPUs in the dump has one in it, and there is no swapper_pg_dir`,
    );
  }
  return [...roots.values()];
}

/**
 * The other root of the pair that page-table isolation makes: the kernel's at an even frame, the user's at the next
 * (Linux, Documentation/arch/x86/pti.rst). Without isolation that frame may hold anything, so the two must prove
 * that they are a pair: what the user's root maps the kernel's maps too, and it lacks most of the kernel.
 */
function pairOf({ memory }: Vmcore, frame: Gfn): Gfn | undefined {
  const other = (frame % 2 === 0 ? frame + 1 : frame - 1) as Gfn;
  const [kernel, user] = (frame % 2 === 0 ? [frame, other] : [other, frame]).map((one) => memory.page(one));
  return kernel !== undefined && user !== undefined && isPair(kernel, user) ? other : undefined;
}

function isPair(kernel: PageView, user: PageView): boolean {
  let equal = 0;
  let missing = 0;
  for (let slot = 0; slot < 512; slot++) {
    const inKernel = targetAt(kernel, slot);
    const inUser = targetAt(user, slot);
    if (inUser === undefined) {
      if (inKernel !== undefined && slot >= UPPER_HALF) missing++;
    } else if (inKernel === inUser) equal++;
    // The kernel's half of the user's root may have tables of its own, with the entry code alone.
    else if (inKernel === undefined || slot < UPPER_HALF) return false;
  }
  return equal > 0 && missing > 0;
}

/** The table that the entry at `slot` leads to. */
function targetAt(page: PageView, slot: number): Gfn | undefined {
  const low = page[2 * slot] ?? 0;
  return (low & EntryLow.P) === 0 ? undefined : entryFrame(low, page[2 * slot + 1] ?? 0);
}
