import { HekiError } from '@heki/physical-memory';

/** Misuse of EPT by the TypeScript caller: an EPTP or a control that the processor lacks, rights that no entry can hold. */
export class EptError extends HekiError {
  override readonly name = 'EptError';
}
