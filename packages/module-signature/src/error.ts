import { HekiError } from '@heki/physical-memory';

/** Trusted certificates, or a key to sign with, that cannot be used. */
export class ModuleSignatureError extends HekiError {
  override readonly name = 'ModuleSignatureError';

  constructor(message: string, cause?: unknown) {
    super(message, { kind: 'input', cause });
  }
}
