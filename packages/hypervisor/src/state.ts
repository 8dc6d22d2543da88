import type { Gfn, Pfn } from '@heki/physical-memory';
import type { PinnableRegister } from './capabilities.ts';
import type { ProtectionRange, Rights } from './rights.ts';

/** What the pins mean for one virtual CPU, as far as it has a past. Registers are named as `registerName` has it, `cr0` or `cr4`. */
export interface VcpuPins {
  readonly vcpu: number;
  /** Registers that it may still bring to what is pinned, because it took INIT and has not done so. */
  readonly starting?: readonly string[];
  /** What pinned registers of it must hold; a table's limit above its base. Without an entry: what it has when the state is restored. */
  readonly values?: { readonly [register: string]: bigint };
}

/** What was asked for the host frames `start` .. `end` - 1 when they were the guest frames from `gfn` on, which they are no longer. */
export interface DepartedFrames {
  readonly start: Pfn;
  /** Exclusive. */
  readonly end: Pfn;
  readonly gfn: Gfn;
  readonly rights: Rights;
  readonly immutable: boolean;
}

/**
 * Everything a backend enforces for a virtual machine: what a VMM saves with a snapshot and restores with it, beside memory, slots and
 * registers. Plain data: numbers, bigints, strings, arrays, sets and objects.
 */
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
  /**
   * What holds for host frames under guest frames that they are no longer; absent means nothing. Like slots, they are of one host: a VMM
   * that restores on another leaves them out.
   */
  readonly departed?: readonly DepartedFrames[];
  /** The guest said that boot has ended, and its requests are refused since. Absent means that it did not. */
  readonly bootEnded?: true;
  /** Virtual CPUs for which pins mean something of their own. */
  readonly vcpus?: readonly VcpuPins[];
  /** What one kind of backend has beside all this, and needs to go on exactly as it would have: only its own kind can restore it. */
  readonly own?: { readonly backend: string };
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
