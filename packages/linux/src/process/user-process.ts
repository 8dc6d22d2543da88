import type { Gfn, VirtualAddress } from '@heki/physical-memory';

/** A program, in pages of each kind. */
export interface UserProgram {
  /** Code from its file, at least 1. */
  readonly text: number;
  /** What it stores to, at least 1. */
  readonly data: number;
  /** Code that it writes itself before it runs it, as browsers do. */
  readonly jit: number;
}

/** Pages of a process, in a row. */
export interface UserArea {
  readonly address: VirtualAddress;
  readonly pages: number;
}

/** A user process: an address space of its own, with the kernel in its upper half. */
export interface UserProcess {
  readonly pid: number;
  /** The frame of its root table. */
  readonly pageTableRoot: Gfn;
  readonly areas: { readonly [kind in keyof UserProgram]: UserArea };
}
