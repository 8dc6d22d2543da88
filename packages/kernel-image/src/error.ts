import { HekiError } from '@heki/physical-memory';

/** A kernel image that cannot be read. The message says what is wrong and what was expected. */
export class KernelImageError extends HekiError {
  override readonly name = 'KernelImageError';

  /** `offset` is where in the file, or in what it unpacks to, the wrong bytes are. */
  constructor(message: string, { offset }: { readonly offset?: number } = {}) {
    super(offset === undefined ? message : `${message} (at offset 0x${offset.toString(16)})`, {
      kind: 'input',
      place: offset === undefined ? {} : { offset },
    });
  }
}
