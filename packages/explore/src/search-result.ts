/** Where a search ends that does not run out of states. */
export interface Bounds {
  /** Most actions in a row. Default: no bound. */
  readonly depth?: number | undefined;
  /** Most states kept: some 100 bytes each and its key. Default 1,000,000. */
  readonly states?: number | undefined;
  /** Only these properties, by id; the search ends when each has fallen. Default all, and it goes on. */
  readonly properties?: readonly string[] | undefined;
  /** Asked after every state: `true` ends the search, for whoever has a clock or a user who loses patience. */
  readonly stop?: ((progress: Progress) => boolean) | undefined;
}

/** How far a search is. */
export interface Progress {
  readonly states: number;
  readonly transitions: number;
  /** Actions from the initial state to those that are being looked at. */
  readonly depth: number;
  /** States that were reached and not looked at yet. */
  readonly frontier: number;
  /** Properties that have fallen. */
  readonly fallen: number;
}

/** The shortest way to a state in which a property does not hold. */
export interface Counterexample<Action> {
  readonly property: string;
  readonly actions: readonly Action[];
}

/** What a search has seen. */
export interface SearchResult<Action> extends Progress {
  /**
   * - `closed`: every state that can be reached was looked at, and nothing fell: all that was asked for holds for this machine
   * - `cut`: so was every state that can be reached before something falls. What did not fall may fall behind that: it holds if a search for it alone says so
   * - `fallen`: all properties that were asked for have fallen
   * - `depth`, `states`, `stopped`: a bound was met, and nothing is known of what lies behind
   */
  readonly end: 'closed' | 'cut' | 'fallen' | 'depth' | 'states' | 'stopped';
  /** One for each property that fell, in the order in which they fell. */
  readonly counterexamples: readonly Counterexample<Action>[];
}
