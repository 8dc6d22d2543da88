import { FRAME_END, type Gfn, hex, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';
import type { ChangeTask } from '../change/change-task.ts';
import { GuestError } from '../error.ts';
import type { NamedLeaf } from '../heki-guest.ts';

/** @throws {GuestError} when a leaf maps what is not a frame */
export function checkLeaves(leaves: readonly NamedLeaf[]): void {
  for (const { guestFrame, frames } of leaves) {
    const integers = Number.isSafeInteger(guestFrame) && Number.isSafeInteger(frames);
    if (!(integers && guestFrame >= 0 && frames >= 0 && guestFrame + frames <= FRAME_END)) {
      throw new GuestError(
        `${frames} frames from ${hex(guestFrame)} on are not a mapping: expected frames from 0 to ${hex(FRAME_END)}`,
      );
    }
  }
}

/** @throws {GuestError} when the two are not virtual frames */
export function checkRange(start: VirtualFrame, end: VirtualFrame): void {
  const integers = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!(integers && start >= 0 && end >= 0 && start <= VIRTUAL_FRAME_END && end <= VIRTUAL_FRAME_END)) {
    throw new GuestError(
      `virtual frames ${hex(start)}-${hex(end)} are not a range: expected 0 to ${hex(VIRTUAL_FRAME_END)}`,
    );
  }
}

/** @throws {GuestError} when a number is not MEM_ATTR bits */
export function checkedTask(task: ChangeTask): ChangeTask {
  const { set, clear, setGlobal } = task;
  for (const [name, value = 0] of Object.entries({ set, clear, setGlobal })) {
    if (!Number.isInteger(value) || value < 0 || value > 15) {
      throw new GuestError(`${name} is ${value}: expected MEM_ATTR bits, 0 to 15`);
    }
  }
  return task;
}

/** The temporary mapping for patching: PAGE_KERNEL without GLOBAL, so writable and not executable (Heki v2 17/19). @throws {GuestError} unless there are 1 or 2 frames */
export function pokedLeaves(frames: readonly Gfn[]): NamedLeaf[] {
  if (frames.length < 1 || frames.length > 2) {
    throw new GuestError(`${frames.length} pages to patch: expected 1 or 2`);
  }
  return frames.map((guestFrame) => ({
    guestFrame,
    frames: 1,
    low: EntryLow.P | EntryLow.RW,
    high: EntryHigh.XD,
  }));
}
