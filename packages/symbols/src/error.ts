import { HekiError } from '@heki/physical-memory';

/** Symbols that cannot be read. The message says what is wrong and what was expected. */
export class SymbolError extends HekiError {
  override readonly name = 'SymbolError';

  constructor(message: string) {
    super(message, { kind: 'input' });
  }
}
