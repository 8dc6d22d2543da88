import { Errno } from '@heki/hypercall/errno';
import { type Gfn, hex, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { fail } from '../outcome.ts';
import { isNone, storedFrame } from './leaf-entry.ts';
import type { MmState } from './mm-state.ts';

/** `vmalloc_to_page`, `virt_to_page`: the frames behind `count` pages. @throws {KernelStop} -EFAULT where nothing is mapped */
export function mappedFrames({ tables }: MmState, first: VirtualFrame, count: number): Gfn[] {
  return tables.edit(() => {
    const frames: Gfn[] = [];
    for (let page = first; page < first + count; page = (page + 1) as VirtualFrame) {
      const entry = tables.lookup(page);
      if (entry === undefined || isNone(entry)) {
        return fail(Errno.EFAULT, `nothing is mapped at ${hex(virtualAddressOf(page))}`);
      }
      const { level, low, high } = entry;
      frames.push((storedFrame(low, high, level) + (page % 512 ** (level - 1))) as Gfn);
    }
    return frames;
  });
}
