import { HekiError } from '@heki/physical-memory';

/** A memory dump that cannot be read, or misuse of one. The message says what is wrong and what would be right. */
export class VmcoreError extends HekiError {
  override readonly name = 'VmcoreError';

  /** @param options.unread it is not for what was read, but because it could not be */
  constructor(
    message: string,
    options: { readonly offset?: number; readonly cause?: unknown; readonly unread?: boolean } = {},
  ) {
    const { offset, cause, unread } = options;
    super(offset === undefined ? message : `${message} (at file offset 0x${offset.toString(16)})`, {
      kind: 'input',
      place: { offset },
      cause,
      unread,
    });
  }

  /** Where in the (inflated) file the wrong bytes are; `undefined` when the error has no place there. */
  get offset(): number | undefined {
    return this.place.offset;
  }
}
