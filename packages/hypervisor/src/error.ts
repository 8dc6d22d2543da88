import { HekiError } from '@heki/physical-memory';

/** Misuse of a backend by the TypeScript caller: overlapping regions, an unknown option, memory that is not there. */
export class HypervisorError extends HekiError {
  override readonly name: string = 'HypervisorError';
}
