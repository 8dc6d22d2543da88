/** Misuse of the test runner by the TypeScript caller: no such test, results out of order. */
export class KunitError extends Error {
  override readonly name = 'KunitError';
}
