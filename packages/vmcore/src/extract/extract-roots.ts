import { frameOf, type Gfn, gpa, type PageView, type PhysicalMemory } from '@heki/physical-memory';
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
 * that they are a pair.
 */
function pairOf({ memory }: Vmcore, frame: Gfn): Gfn | undefined {
  const other = (frame % 2 === 0 ? frame + 1 : frame - 1) as Gfn;
  const [kernel, user] = frame % 2 === 0 ? [frame, other] : [other, frame];
  return isPair(memory, kernel, user) ? other : undefined;
}

/**
 * Whether the kernel's half of `user` shows the entry code alone: it maps nothing that `kernel` does not map, shares tables with
 * it (the CPUs' entry areas), and lacks the rest. With five levels all that is shared lies one table further down.
 */
function isPair(memory: PhysicalMemory<Gfn>, kernel: Gfn, user: Gfn): boolean {
  let shared = 0;
  let lacking = 0;
  const compare = (kernelTable: Gfn, userTable: Gfn, firstSlot: number, deeper: boolean): boolean => {
    const kernelPage = memory.page(kernelTable);
    const userPage = memory.page(userTable);
    if (kernelPage === undefined || userPage === undefined) return false;
    for (let slot = firstSlot; slot < 512; slot++) {
      const inKernel = targetAt(kernelPage, slot);
      const inUser = targetAt(userPage, slot);
      if (inUser === undefined) lacking += inKernel === undefined ? 0 : 1;
      else if (inUser === inKernel) shared++;
      else if (inKernel === undefined || (deeper && !compare(inKernel, inUser, 0, false))) return false;
    }
    return true;
  };
  return compare(kernel, user, UPPER_HALF, true) && shared > 0 && lacking > 0;
}

/** The table that the entry at `slot` leads to. */
function targetAt(page: PageView, slot: number): Gfn | undefined {
  const low = page[2 * slot] ?? 0;
  return (low & EntryLow.P) === 0 ? undefined : entryFrame(low, page[2 * slot + 1] ?? 0);
}
