/** Misuse of a backend by the TypeScript caller: overlapping regions, an unknown option, memory that is not there. */
export class HypervisorError extends Error {
  override readonly name: string = 'HypervisorError';
}
