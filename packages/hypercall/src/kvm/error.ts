/** Misuse of the wire formats by the TypeScript caller: an entry that no page has, a buffer too short, a bad range. */
export class HypercallError extends Error {
  override readonly name = 'HypercallError';
}
