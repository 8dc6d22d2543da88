import type { Readable } from 'node:stream';

let onWanted: (() => void) | undefined;

/** In a thread, which has no standard input of its own: `tell` is called when it is wanted, so that whoever has it hands it on. */
export function inputComesWhenWanted(tell: () => void): void {
  onWanted = tell;
}

/** Standard input, to be read as a stream. */
export function standardStream(): Readable {
  onWanted?.();
  return process.stdin;
}
