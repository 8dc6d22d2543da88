/** Something that must hold in every state that a machine can reach. */
export interface Property {
  /** Short name, as in `--property P6`. */
  readonly id: string;
  /** What holds, as a sentence. */
  readonly says: string;
}

/**
 * A machine that is small enough to look at everything it can do. States are values: nothing that was handed out changes.
 *
 * @typeParam State a state; a number where it fits one
 * @typeParam Action something that can happen in a state
 */
export interface Machine<State, Action> {
  readonly name: string;
  readonly properties: readonly Property[];
  initial(): State;
  /**
   * Calls `visit` for everything that can happen in `state`, in a fixed order, with the state that it leads to.
   *
   * @param line only what is described so is wanted, by who tells a story again: a machine may spare itself the rest
   */
  successors(state: State, visit: (action: Action, next: State) => void, line?: string): void;
  /**
   * The state that the actions described so lead to, where a machine need not look at those between; `undefined` where it knows one of them not. Absent:
   * it is told step by step.
   */
  after?(story: readonly string[]): State | undefined;
  /** Two states with equal keys can do the same from there on: only one of them is looked at. */
  key(state: State): string | number;
  /**
   * The ids of the properties that do not hold in `state`.
   *
   * @param wanted only these are looked for: a machine may spare itself the others. Default all
   */
  broken(state: State, wanted?: ReadonlySet<string>): readonly string[];
  /** An action as a line of a story. */
  describe(action: Action): string;
}
