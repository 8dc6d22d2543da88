import { HekiError } from '@heki/physical-memory';

/** The caller of this package did something wrong; what guests do wrong is answered. */
export class CodeAuthorityError extends HekiError {
  override readonly name: string = 'CodeAuthorityError';
}
