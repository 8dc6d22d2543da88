import { HekiError } from '@heki/physical-memory';

/** Misuse of this package by the TypeScript caller: a register state it does not model, an impossible range. */
export class X86Error extends HekiError {
  override readonly name = 'X86Error';
}
