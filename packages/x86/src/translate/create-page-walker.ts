import type { Pfn, PhysicalMemory } from '@heki/physical-memory';
import { INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import { FastPageWalker } from './fast-page-walker.ts';
import type { PageWalker, PageWalkerOptions } from './page-walker.ts';

/**
 * A page walker.
 *
 * @throws {X86Error} as {@link PageWalker.setRegisters}
 */
export function createPageWalker(options: PageWalkerOptions): PageWalker {
  const { memory, registers, processor = INTEL_VT_RP, secondLevel } = options;
  const walker = new FastPageWalker(memory as PhysicalMemory<Pfn>, processor, secondLevel);
  walker.setRegisters(registers);
  return walker;
}
