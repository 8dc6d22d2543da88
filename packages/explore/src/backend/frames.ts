import type { Gfn } from '@heki/physical-memory';

/** The guest's frames that a search is about. The first is the kernel's text, the second data beside it in the same 2 MiB. */
export const TEXT = 0x200;
export const DATA = 0x201;
/** What is in them is looked at by nobody but who loads or executes it. */
export const FRAMES = [TEXT, DATA] as const;
/** The frames in whose middle they are: one large leaf. */
export const REGION = { start: 0x200, end: 0x400 } as const;
/** Where a second memory slot shows the same host frames again. */
export const ALIAS = 0x800;

/** All of its memory: one slot, aligned to 1 GiB and much smaller. */
export const MEMORY = { start: 0 as Gfn, frames: 0x400 };

/** How stories call them. */
export const FRAME_NAMES: ReadonlyMap<number, string> = new Map([
  [TEXT, 'the text'],
  [DATA, 'the data'],
]);
