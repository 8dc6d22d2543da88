import type { VirtualFrame } from '@heki/physical-memory';
import type { Mapping } from './mapping.ts';

/** The mapping of `virtualFrame` among `mappings`, which ascend by address and do not overlap. */
export function mappingAt(mappings: readonly Mapping[], virtualFrame: VirtualFrame): Mapping | undefined {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { virtualFrame: start = 0, frames = 0 } = mappings[middle] ?? {};
    if (start + frames <= virtualFrame) low = middle + 1;
    else high = middle;
  }
  const found = mappings[low];
  return found !== undefined && found.virtualFrame <= virtualFrame ? found : undefined;
}
