/** Misuse of the test runner by the TypeScript caller: no such suite, no such test, a kernel that did not boot. */
export class KunitError extends Error {
  override readonly name = 'KunitError';
}
