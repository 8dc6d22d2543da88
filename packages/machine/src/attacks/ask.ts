import type { HekiGuest } from '@heki/guest';
import {
  encodePageList,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  type ProtectedRange,
} from '@heki/hypercall/kvm';
import type { DriverMemory } from '@heki/paravirt';
import { PAGE_WORDS, type VirtualAddress } from '@heki/physical-memory';

/** Rights as people write them: `r-x`. */
export type AskedRights = `${'r' | '-'}${'w' | '-'}${'x' | '-'}`;

/**
 * Has the kernel's driver send a page list of one range, as any code that runs in the kernel can. The answer is 0 or a negative error
 * number; `undefined` where the kernel has no driver, or no page for the list.
 */
export type AskHypervisor = (range: ProtectedRange) => number | undefined;

/** {@link AskHypervisor} of a kernel. Its core hears nothing of what is asked: its counters stay as they are. */
export function createAskHypervisor(options: {
  readonly heki: Pick<HekiGuest, 'hypervisor'>;
  readonly memory: DriverMemory;
}): AskHypervisor {
  const { heki, memory } = options;
  return (range) => {
    const { hypervisor } = heki;
    const frame = hypervisor === undefined ? undefined : memory.allocatePage();
    if (hypervisor === undefined || frame === undefined) return undefined;
    const page = new Uint32Array(PAGE_WORDS);
    const list = encodePageList({
      memory: { page: () => page, writablePage: () => page },
      frames: [frame],
      ranges: [range],
      // No list goes on at another page.
      directMap: 0n as VirtualAddress,
    });
    const answer = memory.store(frame, 0, new Uint8Array(page.buffer))
      ? hypervisor.protectMemory(list)
      : undefined;
    memory.freePage(frame);
    return answer;
  };
}

/** MEM_ATTR bits of rights on the wire. */
export function permissionsAsked(rights: AskedRights, immutable: boolean): number {
  const bits = [MEM_ATTR_READ, MEM_ATTR_WRITE, MEM_ATTR_EXEC];
  return bits.reduce(
    (sum, bit, index) => (rights[index] === '-' ? sum : sum | bit),
    immutable ? MEM_ATTR_IMMUTABLE : 0,
  );
}
