/** Misuse of a machine by the TypeScript caller: no RAM in the memory map, no room for more, a step out of order. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
}
