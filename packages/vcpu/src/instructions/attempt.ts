import type { VirtualAddress } from '@heki/physical-memory';
import { type Exception, Vector } from '../exceptions/exception.ts';
import type { VmExit } from '../exit.ts';

/**
 * How one attempt at an instruction ended. Numbers, so that a translation can give a frame (0 and above) or one of the
 * negative ones; what else there is to say stands in the {@link Trap}.
 */
export const Attempt = {
  /** The instruction completed. */
  DONE: 0,
  /** {@link Trap.exception} was raised. */
  RAISED: -1,
  /** The guest was left with {@link Trap.exit}. */
  EXITED: -2,
  /** Memory that the processor itself must read is absent at {@link Trap.absent}. */
  ABSENT: -3,
  /** A hypervisor's emulator may not or cannot carry it out: its `refusal` tells what becomes of it. */
  REFUSED: -4,
  /** A hypervisor's emulator has done some of a repeated instruction; the processor goes on with the rest. */
  PARTLY: -5,
} as const;

/** One of {@link Attempt}. */
export type Attempt = (typeof Attempt)[keyof typeof Attempt];

/** Why the latest attempt did not complete. */
export class Trap {
  exception: Exception = { vector: Vector.GP, errorCode: 0 };
  exit: VmExit = { reason: 'triple-fault' };
  /** The exit is an EPT violation that may become #VE. */
  convertible = false;
  /** The linear address of the access that {@link exit} is about; `undefined` when it is one of the processor's own. */
  operand: VirtualAddress | undefined;
  /** Physical address of the entry or descriptor that memory does not hold. */
  absent = 0;

  /** Raises an exception. */
  raise(vector: number, errorCode: number, cr2?: VirtualAddress): typeof Attempt.RAISED {
    this.exception = cr2 === undefined ? { vector, errorCode } : { vector, errorCode, cr2 };
    return Attempt.RAISED;
  }

  /** Leaves the guest. */
  leave(exit: VmExit, convertible = false): typeof Attempt.EXITED {
    this.exit = exit;
    this.convertible = convertible;
    return Attempt.EXITED;
  }

  /** Gives up, because the bytes at `address` are not there. */
  miss(address: number): typeof Attempt.ABSENT {
    this.absent = address;
    return Attempt.ABSENT;
  }
}
