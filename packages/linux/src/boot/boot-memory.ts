import {
  addressOf,
  type Gfn,
  type Gpa,
  hex,
  type PhysicalMemory,
  readBytes,
  type VirtualAddress,
  virtualAddressOf,
  writeBytes,
} from '@heki/physical-memory';
import { LinuxError } from '../error.ts';
import type { AddressLayout } from '../layout/layout.ts';
import type { KernelMemory } from '../mm/kernel-memory.ts';

/**
 * Memory as early boot has it: tables are built before the processor uses them. This is the only place of the package that
 * writes physical memory.
 */
export function createBootMemory(memory: PhysicalMemory<Gfn>, layout: AddressLayout): KernelMemory {
  const image = virtualAddressOf(layout.text);
  const directMap = virtualAddressOf(layout.directMap);
  const physical = (address: VirtualAddress): Gpa =>
    Number(
      address >= image ? address - image + BigInt(addressOf(layout.textFrame)) : address - directMap,
    ) as Gpa;
  const checked = (done: number, length: number, address: VirtualAddress): void => {
    if (done < length) throw new LinuxError(`early boot needs memory at ${hex(address)}, and there is none`);
  };
  const load = (address: VirtualAddress, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    checked(readBytes(memory, physical(address), bytes), length, address);
    return bytes;
  };
  return {
    load,
    store: (address, bytes) => checked(writeBytes(memory, physical(address), bytes), bytes.length, address),
    fetch: load,
    tables: {
      page: (frame) => memory.page(frame),
      writablePage: (frame) => memory.writablePage(frame),
      entry(table, slot) {
        const page = memory.page(table);
        return { low: page?.[2 * slot] ?? 0, high: page?.[2 * slot + 1] ?? 0 };
      },
      setEntry(table, slot, low, high) {
        memory.writablePage(table)?.set([low, high], 2 * slot);
      },
      commit() {},
      discard() {},
    },
    flush() {},
  };
}
