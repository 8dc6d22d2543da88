import { type Gfn, PAGE_SIZE, type PageView, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { backingFrame } from './memslot.ts';
import type { Memslots } from './memslots.ts';

/**
 * Guest memory as KVM itself reaches it: through the memslots and the host mapping, past every right of the
 * second level (B-H12).
 */
export function guestMemory(slots: Memslots, memory: PhysicalMemory<Pfn>): PhysicalMemory<Gfn> {
  return {
    page(gfn): PageView | undefined {
      const slot = slots.find(gfn);
      return slot === undefined ? undefined : memory.page(backingFrame(slot, gfn));
    },
    writablePage(gfn) {
      const slot = slots.find(gfn);
      return slot === undefined ? undefined : memory.writablePage(backingFrame(slot, gfn));
    },
  };
}

/**
 * Bytes from guest-physical `address` on that are memory without a hole, at most `limit`: how far kvm_read_guest()
 * gets. Looks at slots, not at pages.
 */
export function readableBytes(slots: Memslots, address: number, limit: number): number {
  let end = address;
  while (end < address + limit) {
    const slot = slots.find(Math.floor(end / PAGE_SIZE) as Gfn);
    if (slot === undefined) break;
    end = (slot.base + slot.frames) * PAGE_SIZE;
  }
  return Math.max(0, Math.min(end, address + limit) - address);
}
