import { PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import type { MmState } from '../mm/mm-state.ts';
import { setMemoryRox } from '../mm/set-memory.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { moduleAlloc, vfree } from '../mm/vmalloc.ts';
import { KernelStop } from '../outcome.ts';
import { INT3 } from './instructions.ts';

/**
 * Pages for generated code: from `module_alloc`, filled with `code` and int3 while they can be written, then read-only and
 * executable (`set_memory_rox`). An error leaves nothing behind.
 *
 * @throws {KernelStop} -ENOMEM, Heki's refusal, or an access that does not complete
 */
export function allocateExecutable(kernel: MmState, pages: number, code = new Uint8Array()): VmArea {
  const area = moduleAlloc(kernel, pages);
  try {
    const bytes = new Uint8Array(pages * PAGE_SIZE).fill(INT3);
    bytes.set(code);
    kernel.memory.store(virtualAddressOf(area.start), bytes);
    setMemoryRox(kernel, area.start, pages);
    return area;
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') vfree(kernel, area);
    throw stop;
  }
}
