import { frameOf, type Gfn } from '@heki/physical-memory';
import { VmcoreError } from '../error.ts';
import { levelsOf, pagesIn64BitMode, rootOf } from '../root/cpu-root.ts';
import { pairOf } from '../root/pti-pair.ts';
import type { Vmcore } from '../vmcore.ts';
import type { TableRoot } from './table-pages.ts';

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
  for (const [index, cpu] of core.cpus.entries()) {
    if (!pagesIn64BitMode(cpu)) continue;
    const frame = rootOf(core, cpu.cr3);
    const levels = levelsOf(cpu);
    add({ frame, levels, from: 'cr3', cpu: index });
    const other = pairOf(core.memory, frame, core.encryption?.bit);
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
