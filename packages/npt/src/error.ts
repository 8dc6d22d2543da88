/** Misuse of nested paging by the TypeScript caller: a control that the processor lacks, bits that no leaf may have. */
export class NptError extends Error {
  override readonly name = 'NptError';
}
