import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow, type LeafLevel } from '@heki/x86';

/** A leaf as QEMU's monitor lists it. */
export interface InfoTlbLeaf {
  /** Its first virtual frame, canonical. */
  readonly virtualFrame: VirtualFrame;
  /** Its first guest frame. */
  readonly guestFrame: Gfn;
  readonly level: LeafLevel;
  /** The leaf entry, both halves. */
  readonly low: number;
  readonly high: number;
}

/** The flags of a line in order: the mask in the entry's low half and the letter. XD, in the high half, comes first. */
const FLAGS = [
  [EntryLow.G, 'G'],
  [EntryLow.PS, 'P'],
  [EntryLow.D, 'D'],
  [EntryLow.A, 'A'],
  [EntryLow.PCD, 'C'],
  [EntryLow.PWT, 'T'],
  [EntryLow.US, 'U'],
  [EntryLow.RW, 'W'],
] as const;

/**
 * A leaf as one line of QEMU's `info tlb`: `VVVVVVVVVVVVVVVV: PPPPPPPPPPPPPPPP XGPDACTUW`, with a dash for each
 * flag that is clear. Flags are the leaf's own. P stands for a large leaf: bit 7 of a PTE is PAT and not shown.
 */
export function infoTlbLine({ virtualFrame, guestFrame, level, low, high }: InfoTlbLeaf): string {
  let flags = (high & EntryHigh.XD) !== 0 ? 'X' : '-';
  for (const [mask, letter] of FLAGS) {
    const shown = (low & mask) !== 0 && (mask !== EntryLow.PS || level !== 1);
    flags += shown ? letter : '-';
  }
  return `${address(virtualFrame)}: ${address(guestFrame)} ${flags}`;
}

/** The address of a frame in 16 hexadecimal digits: 13 of the frame, then the three of a page's start. */
function address(frame: number): string {
  return `${frame.toString(16).padStart(13, '0')}000`;
}
