/** A scenario that is none: names the place in it and what was expected there. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

/** A step is about what an earlier one did not get made; never leaves this package. */
export class UnmadeError extends Error {}
