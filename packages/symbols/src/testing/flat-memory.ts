import type { VirtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';

/** Memory that holds `bytes` from `start` on, and nothing else. */
export function flatMemory(bytes: Uint8Array, start: VirtualAddress): VirtualMemory {
  return {
    read(address, length) {
      const from = Number(address - start);
      return from < 0 || from + length > bytes.length
        ? undefined
        : Uint8Array.from(bytes.subarray(from, from + length));
    },
  };
}
