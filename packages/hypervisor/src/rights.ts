import type { Gfn } from '@heki/physical-memory';

/** What the second level lets a virtual CPU do with a guest page. */
export interface Rights {
  readonly read: boolean;
  readonly write: boolean;
  /** Instruction fetches through a supervisor-mode linear address, or at CPL < 3, as the hardware draws the line. */
  readonly supervisorExecute: boolean;
  /** Instruction fetches by user code. */
  readonly userExecute: boolean;
}

/** The rights of a guest page, read back from the tables that the processor uses. */
export interface EffectiveRights extends Rights {
  /**
   * `true`: a second-level leaf is there and grants this. `false`: no leaf is there now, and this is what the
   * next allowed access would install.
   */
  readonly present: boolean;
}

/** The guest frames `start` .. `end` - 1 and the rights that are wanted for them. */
export interface ProtectionRange {
  readonly start: Gfn;
  /** Exclusive. */
  readonly end: Gfn;
  readonly rights: Rights;
  /** No later request may change these frames. Only for backends whose {@link Capabilities.immutability} is per page. */
  readonly immutable?: boolean;
}

/** `rights` as four letters, `r` read, `w` write, `x` supervisor execute, `u` user execute: `r-xu`. */
export function formatRights(rights: Rights): string {
  return (
    (rights.read ? 'r' : '-') +
    (rights.write ? 'w' : '-') +
    (rights.supervisorExecute ? 'x' : '-') +
    (rights.userExecute ? 'u' : '-')
  );
}

/** Whether `rights` withhold something that `others` grant. */
export function withholdSome(rights: Rights, others: Rights): boolean {
  return (
    (others.read && !rights.read) ||
    (others.write && !rights.write) ||
    (others.supervisorExecute && !rights.supervisorExecute) ||
    (others.userExecute && !rights.userExecute)
  );
}

/** Whether `a` and `b` grant the same. */
export function sameRights(a: Rights, b: Rights): boolean {
  return (
    a.read === b.read &&
    a.write === b.write &&
    a.supervisorExecute === b.supervisorExecute &&
    a.userExecute === b.userExecute
  );
}
