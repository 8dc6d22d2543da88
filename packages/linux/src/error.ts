import { HekiError } from '@heki/physical-memory';

/** A kernel that cannot be made or used as it was asked for: an impossible build, a step out of order, a bad address. */
export class LinuxError extends HekiError {
  override readonly name = 'LinuxError';

  constructor(message: string) {
    super(message, { kind: 'impossible' });
  }
}
