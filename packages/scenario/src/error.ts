/** A scenario that is none: names the place in it and what was expected there. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}
