import { HekiError } from '@heki/physical-memory';

/** Misuse of nested paging by the TypeScript caller: a control that the processor lacks, bits that no leaf may have. */
export class NptError extends HekiError {
  override readonly name = 'NptError';
}
