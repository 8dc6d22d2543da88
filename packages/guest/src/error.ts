import { HekiError } from '@heki/physical-memory';

/** Misuse of the guest core by the TypeScript caller: a range that ends before it starts, an impossible option. */
export class GuestError extends HekiError {
  override readonly name = 'GuestError';
}
