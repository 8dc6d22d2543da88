import {
  createMemoryMap,
  type Gfn,
  type MemoryMap,
  type MemoryMapEntry,
  PAGE_SIZE,
} from '@heki/physical-memory';
import { MachineError } from '../error.ts';

const MEBIBYTE = 2 ** 20;
/** 640 KiB: the video memory and the firmware of a PC begin here. */
const LOW_END = 0x9f;
const LOW_MEBIBYTE = 0x100;
/** 3 GiB: where QEMU's machine type pc ends low memory when there is more than 3.5 GiB. */
const HOLE_START = 0xc_0000;
/** 3.5 GiB. */
const LOW_MEMORY_MAX = 0xe_0000;
const FOUR_GIB = 0x10_0000;
/** What 4-level paging has room for in the direct map of Linux. */
const LARGEST = 2 ** 46;

/**
 * The memory map of a PC with `bytes` of RAM as QEMU lays it out: 640 KiB, a hole to 1 MiB, and, from 3.5 GiB on, a hole from 3
 * to 4 GiB for devices.
 *
 * @param bytes a multiple of 1 MiB, from 32 MiB to 64 TiB
 * @throws {MachineError} for sizes that no PC has
 */
export function pcMemoryMap(bytes: number): MemoryMap<Gfn> {
  if (!Number.isSafeInteger(bytes) || bytes % MEBIBYTE !== 0 || bytes < 32 * MEBIBYTE || bytes > LARGEST) {
    throw new MachineError(`${bytes} bytes of memory: expected a multiple of 1 MiB, from 32 MiB to 64 TiB`);
  }
  const frames = bytes / PAGE_SIZE;
  const ram = (start: number, end: number): MemoryMapEntry<Gfn> => ({
    start: start as Gfn,
    end: end as Gfn,
    type: 'ram',
  });
  const low = frames > LOW_MEMORY_MAX ? HOLE_START : frames;
  const entries = [ram(1, LOW_END), ram(LOW_MEBIBYTE, low)];
  if (low < frames) entries.push(ram(FOUR_GIB, FOUR_GIB + frames - low));
  return createMemoryMap<Gfn>(entries);
}
