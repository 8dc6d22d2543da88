import { EntryLow } from '@heki/x86';
import type { Mapping } from './mapping.ts';

/**
 * Whether page-table isolation is on, by what it does to the kernel's own tables: it takes G from all mappings but those that user mode's
 * tables show as well, and their aliases (Linux, probe_page_size_mask, pti_clone_kernel_text). `undefined` where no mapping has G: then
 * the processor knows no global pages, and nothing is told.
 */
export function isIsolated(mappings: readonly Mapping[]): boolean | undefined {
  let hasGlobal = false;
  let direct = 0;
  let global = 0;
  for (const { low, region, frames } of mappings) {
    const isGlobal = (low & EntryLow.G) !== 0;
    hasGlobal ||= isGlobal;
    if (region !== 'direct map') continue;
    direct += frames;
    if (isGlobal) global += frames;
  }
  return hasGlobal ? global < direct / 2 : undefined;
}
