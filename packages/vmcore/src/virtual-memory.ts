import { PAGE_SIZE, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import { type KernelTables, mappedFrame } from './root/kernel-tables.ts';

/** Memory that is read by virtual address. */
export interface VirtualMemory {
  /**
   * `length` bytes from `address` on, as a copy; `undefined` unless all of them are mapped and held.
   *
   * @throws {VmcoreError} when what is held cannot be read
   */
  read(address: VirtualAddress, length: number): Uint8Array<ArrayBuffer> | undefined;
}

const END = 1n << 64n;

/** What page tables map, as the kernel itself reads it: by their entries, whatever their rights. */
export function virtualMemoryOf(tables: KernelTables): VirtualMemory {
  return {
    read(address, length) {
      if (address + BigInt(length) > END) return undefined;
      const offset = Number(address % BigInt(PAGE_SIZE));
      const first = Number(address / BigInt(PAGE_SIZE));
      // Before anything is allocated: lengths come from the memory of strangers, and most pages of most dumps are not held.
      if (!isHeld(tables, first) || !isMapped(tables, first + pageCount(offset, length) - 1))
        return undefined;
      const bytes = new Uint8Array(length);
      for (let done = 0, at = offset, page = first; done < length; page++, at = 0) {
        const frame = mappedFrame(tables, page as VirtualFrame);
        const words = frame === undefined ? undefined : tables.memory.page(frame);
        if (words === undefined) return undefined;
        const part = Math.min(PAGE_SIZE - at, length - done);
        bytes.set(new Uint8Array(words.buffer, words.byteOffset + at, part), done);
        done += part;
      }
      return bytes;
    },
  };
}

function pageCount(offset: number, length: number): number {
  return Math.max(1, Math.ceil((offset + length) / PAGE_SIZE));
}

function isHeld(tables: KernelTables, page: number): boolean {
  const frame = mappedFrame(tables, page as VirtualFrame);
  return frame !== undefined && tables.memory.page(frame) !== undefined;
}

function isMapped(tables: KernelTables, page: number): boolean {
  return mappedFrame(tables, page as VirtualFrame) !== undefined;
}
