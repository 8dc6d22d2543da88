/** A memory dump that cannot be read, or misuse of one. The message says what is wrong and what would be right. */
export class VmcoreError extends Error {
  override readonly name = 'VmcoreError';
  /** Where in the (inflated) file the wrong bytes are; absent when the error has no place there. */
  readonly offset: number | undefined;

  constructor(message: string, options: { readonly offset?: number; readonly cause?: unknown } = {}) {
    super(
      options.offset === undefined ? message : `${message} (at file offset 0x${options.offset.toString(16)})`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.offset = options.offset;
  }
}
