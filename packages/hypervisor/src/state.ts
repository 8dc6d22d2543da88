import type { PinnableRegister } from './capabilities.ts';
import type { ProtectionRange, Rights } from './rights.ts';

/** Everything a backend enforces for a virtual machine: what a VMM saves with a snapshot and restores with it. */
export interface ProtectionState {
  /** Ranges with rights of their own, sorted, not overlapping. */
  readonly ranges: readonly ProtectionRange[];
  /** The rights of all other memory. */
  readonly otherwise: Rights;
  /** Pinned bits. */
  readonly cr0: bigint;
  readonly cr4: bigint;
  /** Other registers pinned as a whole; absent means none. */
  readonly registers?: readonly PinnableRegister[];
  /** The guest said that boot has ended, and its requests are refused since. Absent means that it did not. */
  readonly bootEnded?: true;
}

/**
 * What happens to a virtual machine as a whole.
 *
 * - `init`: one virtual CPU takes INIT and starts again in real mode
 * - `reset`: power-on reset of the whole machine
 * - `kexec`: the running kernel hands over to another one, without a reset
 */
export type LifeCycle =
  | { readonly kind: 'init'; readonly vcpu: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'kexec' };
