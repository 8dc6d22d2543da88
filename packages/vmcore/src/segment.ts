import { type Gpa, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { type ProgramHeader, PT_LOAD } from './elf-header.ts';
import { VmcoreError } from './error.ts';

/** A stretch of guest-physical memory that a dump holds. */
export interface VmcoreSegment {
  readonly start: Gpa;
  /** Exclusive. */
  readonly end: Gpa;
  /** Where its bytes are in the file; unrelated to `start`. */
  readonly fileOffset: number;
  /** How many bytes the file holds, at most `end - start`; the rest reads zero (System V gABI, chapter 5). */
  readonly fileSize: number;
}

/** The PT_LOADs that hold something, sorted by address. @throws {VmcoreError} when two overlap or one lies too high */
export function readSegments(headers: readonly ProgramHeader[]): VmcoreSegment[] {
  const loads = headers
    .filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0n)
    .sort((a, b) => (a.physicalAddress < b.physicalAddress ? -1 : 1));
  let last = 0n;
  return loads.map(({ at, physicalAddress, memorySize, fileOffset, fileSize }) => {
    const end = physicalAddress + memorySize;
    const range = `PT_LOAD of 0x${physicalAddress.toString(16)}-0x${end.toString(16)}`;
    if (end > BigInt(PHYSICAL_ADDRESS_END)) {
      throw new VmcoreError(`${range} reaches beyond 52 bits`, { offset: at + 24 });
    }
    if (physicalAddress < last) {
      throw new VmcoreError(
        `${range} overlaps another, which ends at 0x${last.toString(16)}: expected a dump by physical address (paging=false)`,
        { offset: at + 24 },
      );
    }
    last = end;
    return { start: Number(physicalAddress) as Gpa, end: Number(end) as Gpa, fileOffset, fileSize };
  });
}
