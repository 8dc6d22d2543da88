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
  /** Whether PT_LOADs without a physical address were left out, as only /proc/kcore has them. */
  readonly isKcore: boolean;
}

/** In /proc/kcore the p_paddr of what has no one place in memory: vmalloc, vmemmap (Linux, fs/proc/kcore.c). */
const NOWHERE = 2n ** 64n - 1n;

/**
 * The memory that the PT_LOADs hold. They may overlap: `/proc/vmcore` has the kernel's image a second time, by its own virtual
 * address, and QEMU's dumps with `paging` have a PT_LOAD for every run of mappings. All tell of the same memory, and the
 * first in the file is taken. What p_memsz has beyond p_filesz is memory that was left out of the file (makedumpfile -E, QEMU),
 * not zeroes as in a program. Of a file that was cut short, whole pages are taken. What has no physical address is left out.
 *
 * @throws {VmcoreError} when one lies too high, or all are by virtual address alone
 */
export function readSegments(headers: readonly ProgramHeader[], fileEnd: number): ElfSegments {
  refuseVirtual(headers);
  let missing = 0;
  let isKcore = false;
  const loads = headers.flatMap(({ type, at, physicalAddress, memorySize, fileOffset, fileSize }) => {
    if (type !== PT_LOAD || memorySize === 0n) return [];
    if (physicalAddress === NOWHERE) {
      isKcore = true;
      return [];
    }
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
  return { segments, missing, isKcore };
}

/** The core of a program has all its memory at physical address 0, and so has /proc/kcore before Linux 4.11. */
function refuseVirtual(headers: readonly ProgramHeader[]): void {
  const loads = headers.filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0n);
  const [first] = loads;
  if (first === undefined || loads.length === 1) return;
  const places = new Set(loads.map(({ virtualAddress }) => virtualAddress));
  if (places.size < loads.length || loads.some(({ physicalAddress }) => physicalAddress !== 0n)) return;
  throw new VmcoreError(
    "no PT_LOAD has a physical address: this is the core of a program, or a kernel's by virtual address alone",
    { offset: first.at + 24 },
  );
}
