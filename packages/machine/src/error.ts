import { HekiError } from '@heki/physical-memory';

/** A machine that cannot be made or used as it was asked for: no RAM in the memory map, no room for more, a step out of order. */
export class MachineError extends HekiError {
  override readonly name = 'MachineError';

  constructor(message: string) {
    super(message, { kind: 'impossible' });
  }
}
