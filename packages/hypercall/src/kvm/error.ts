import { HekiError } from '@heki/physical-memory';

/** Misuse of the wire formats by the TypeScript caller: an entry that no page has, a buffer too short, a bad range. */
export class HypercallError extends HekiError {
  override readonly name = 'HypercallError';
}
