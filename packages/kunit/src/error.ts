import { HekiError } from '@heki/physical-memory';

/** Misuse of the test runner by the TypeScript caller: no such test, results out of order. */
export class KunitError extends HekiError {
  override readonly name = 'KunitError';
}
