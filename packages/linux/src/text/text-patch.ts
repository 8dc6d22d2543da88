import type { VirtualAddress } from '@heki/physical-memory';

/** An instruction that replaces another of the same length. */
export interface TextPatch {
  readonly address: VirtualAddress;
  /** 1 to 15 bytes. */
  readonly bytes: Uint8Array;
}
