import type { PinnableRegister } from './capabilities.ts';
import type { ProtectionRange, Rights } from './rights.ts';

/** Why a range was refused. */
export type Refusal =
  /** The rights cannot be expressed here. */
  | 'unsupported'
  /** The range is outside the guest's memory. */
  | 'not-memory'
  /** An address is not a multiple of the granule. */
  | 'misaligned'
  /** The range is empty or ends before it starts. */
  | 'empty'
  /** The range contains an immutable page. */
  | 'immutable'
  /** The request itself cannot be read or is malformed. */
  | 'bad-request'
  /** More ranges or more work than the backend takes in one call. */
  | 'too-much'
  /** The caller may not ask. */
  | 'not-permitted'
  /** The host ran out of memory. */
  | 'no-memory';

/** A range that was taken with other rights than were asked for. */
export interface Weakened {
  readonly range: ProtectionRange;
  /** The rights that the range got. */
  readonly granted: Rights;
}

/** The outcome of a request for rights, whoever made it. Partial success is expressible. */
export interface ProtectionResult {
  /** Ranges in force now as they were asked for, or weakened. */
  readonly applied: number;
  readonly weakened: readonly Weakened[];
  /** Where and why the request stopped; absent when all of it was taken. */
  readonly refused?: {
    /** Index of the range in the request, in the order of application; -1 when no range was reached. */
    readonly at: number;
    readonly why: Refusal;
  };
}

/** A request to pin. */
export interface PinRequest {
  /** Bits of CR0. */
  readonly cr0?: bigint;
  readonly cr4?: bigint;
  /** Other registers, each as a whole, with the value that it has on each virtual CPU. */
  readonly registers?: readonly PinnableRegister[] | undefined;
}

/** The outcome of a request to pin register bits. */
export interface PinResult {
  /** Bits of CR0 and CR4 pinned after the request. */
  readonly cr0: bigint;
  readonly cr4: bigint;
  /** Other registers pinned after the request; absent means none. */
  readonly registers?: readonly PinnableRegister[] | undefined;
  /** What was asked for and not pinned. */
  readonly dropped: {
    readonly cr0: bigint;
    readonly cr4: bigint;
    readonly registers?: readonly PinnableRegister[] | undefined;
  };
  readonly refused?: Refusal;
}
