import { HekiError } from '@heki/physical-memory';

/** A memory dump that cannot be read, or misuse of one. The message says what is wrong and what would be right. */
export class VmcoreError extends HekiError {
  override readonly name = 'VmcoreError';

  constructor(message: string, options: { readonly offset?: number; readonly cause?: unknown } = {}) {
    const { offset, cause } = options;
    super(offset === undefined ? message : `${message} (at file offset 0x${offset.toString(16)})`, {
      kind: 'input',
      place: { offset },
      cause,
    });
  }

  /** Where in the (inflated) file the wrong bytes are; `undefined` when the error has no place there. */
  get offset(): number | undefined {
    return this.place.offset;
  }
}
