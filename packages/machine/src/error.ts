/** Misuse of a machine by the TypeScript caller: no RAM in the memory map, no room for more, a step out of order; or a specification that no machine has. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
  /** The property of its specification that is wrong, where it is one: `defects`, `B-H99`. */
  readonly at: readonly string[] | undefined;

  constructor(message: string, at?: readonly string[]) {
    super(message);
    this.at = at;
  }
}
