import { type Gpa, PAGE_SIZE, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { VmcoreError } from '../../error.ts';
import { uppermost } from '../../range.ts';
import type { VmcoreSegment } from '../../segment.ts';
import { type ProgramHeader, PT_LOAD } from './elf-header.ts';

/** A stretch of memory, and where the file holds it. */
export interface ElfSegment extends VmcoreSegment {
  /** Of the byte at `start`; unrelated to the address. */
  readonly fileOffset: number;
}

/** Memory that a core holds. */
export interface ElfSegments {
  /** Sorted by address, apart. */
  readonly segments: readonly ElfSegment[];
  /** Bytes that PT_LOADs promise and that lie behind the end of the file. */
  readonly missing: number;
}

/**
 * The memory that the PT_LOADs hold. They may overlap: `/proc/vmcore` has the kernel's image a second time, by its own virtual
 * address, and QEMU's dumps with `paging` have a PT_LOAD for every run of mappings. All tell of the same memory, and the
 * first in the file is taken. What p_memsz has beyond p_filesz is memory that was left out of the file (makedumpfile -E, QEMU),
 * not zeroes as in a program. Of a file that was cut short, whole pages are taken.
 *
 * @throws {VmcoreError} when one lies too high
 */
export function readSegments(headers: readonly ProgramHeader[], fileEnd: number): ElfSegments {
  let missing = 0;
  const loads = headers.flatMap(({ type, at, physicalAddress, memorySize, fileOffset, fileSize }) => {
    if (type !== PT_LOAD || memorySize === 0n) return [];
    const memoryEnd = physicalAddress + memorySize;
    if (memoryEnd > BigInt(PHYSICAL_ADDRESS_END)) {
      const range = `0x${physicalAddress.toString(16)}-0x${memoryEnd.toString(16)}`;
      throw new VmcoreError(`PT_LOAD of ${range} reaches beyond 52 bits`, { offset: at + 24 });
    }
    const start = Number(physicalAddress);
    const held = Math.max(0, Math.min(fileSize, fileEnd - fileOffset));
    missing += fileSize - held;
    const whole = start + held;
    const end = held === fileSize ? whole : whole - (whole % PAGE_SIZE);
    return [{ start, end, delta: fileOffset - start }];
  });
  const segments = uppermost(loads).map(({ start, end, delta }) => ({
    start: start as Gpa,
    end: end as Gpa,
    fileOffset: start + delta,
  }));
  return { segments, missing };
}
