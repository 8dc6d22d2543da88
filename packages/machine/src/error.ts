import { HekiError } from '@heki/physical-memory';

/** A machine that cannot be made or used as it was asked for: no RAM in the memory map, no room for more, a step out of order. */
export class MachineError extends HekiError {
  override readonly name = 'MachineError';
  /** The property of its specification that is wrong, where it is one: `defects`, `B-H99`. */
  readonly at: readonly string[] | undefined;

  constructor(message: string, at?: readonly string[]) {
    super(message, { kind: 'impossible' });
    this.at = at;
  }
}
