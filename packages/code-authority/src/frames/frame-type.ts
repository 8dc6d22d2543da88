/**
 * What a host frame holds. A frame changes its type along few edges, and its type decides what the second level allows:
 *
 * ```text
 *   free ──> staged ──> text | rodata | data | trampoline | jit ──> retired ──> free
 * ```
 */
export const FRAME_TYPES = [
  'free',
  'staged',
  'text',
  'rodata',
  'data',
  'trampoline',
  'jit',
  'retired',
] as const;
export type FrameType = (typeof FRAME_TYPES)[number];

const EDGES: { readonly [from in FrameType]: readonly FrameType[] } = {
  free: ['staged'],
  // What turns out to be wrong while it is staged is given back.
  staged: ['text', 'rodata', 'data', 'trampoline', 'jit', 'retired'],
  text: ['retired'],
  rodata: ['retired'],
  data: ['retired'],
  trampoline: ['retired'],
  jit: ['retired'],
  retired: ['free'],
};

/** Whether a frame of type `from` may become one of type `to`. */
export function mayBecome(from: FrameType, to: FrameType): boolean {
  return EDGES[from].includes(to);
}

/** What the guest's kernel may do with a frame. Only the owner reads frames that are staged or retired. */
export interface FrameRights {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
}

const NOTHING: FrameRights = { read: false, write: false, execute: false };
const READ_WRITE: FrameRights = { read: true, write: true, execute: false };
const READ_EXECUTE: FrameRights = { read: true, write: false, execute: true };

/** What the second level allows for each type, once the kernel's code is sealed: none is writable and executable. */
export const RIGHTS: { readonly [type in FrameType]: FrameRights } = {
  free: READ_WRITE,
  staged: NOTHING,
  text: READ_EXECUTE,
  rodata: { read: true, write: false, execute: false },
  data: READ_WRITE,
  trampoline: READ_EXECUTE,
  jit: READ_EXECUTE,
  retired: NOTHING,
};
