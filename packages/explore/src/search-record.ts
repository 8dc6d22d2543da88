import type { Counterexample, Progress, SearchResult } from './search-result.ts';

/** Where a search ends by itself. */
type End = Exclude<SearchResult<unknown>['end'], 'stopped'>;

/** What a search must keep to go on later, or elsewhere: plain data. States are numbered in the order in which they were reached. */
export interface SavedSearch {
  /** The keys of all states that were reached. */
  readonly keys: readonly (string | number)[];
  /** Of each state, the one before it. */
  readonly before: readonly number[];
  /** Of each state, which of `lines` was the action that led to it; -1 of the first. */
  readonly by: readonly number[];
  readonly lines: readonly string[];
  /** The states that are being looked at, and how many of them were. */
  readonly frontier: readonly number[];
  readonly position: number;
  /** Those that come after them. */
  readonly next: readonly number[];
  readonly depth: number;
  readonly transitions: number;
  readonly counterexamples: readonly Counterexample<string>[];
}

/** What a search has seen so far, and what it looks at next: whoever looks, and wherever, says it here in one order. */
export class SearchRecord<Action> {
  readonly #wanted: ReadonlySet<string>;
  readonly #endsFallen: boolean;
  readonly #deepest: number;
  readonly #most: number;
  readonly #seen = new Set<string | number>();
  /** Of each state that was reached: the one before it, and the action between. */
  readonly #before: number[] = [];
  readonly #by: (Action | undefined)[] = [];
  readonly #counterexamples: Counterexample<Action>[] = [];
  #frontier: readonly number[] = [];
  #next: number[] = [];
  #position = 0;
  #transitions = 0;
  #depth = 0;
  #full = false;
  /** {@link #transitions} when the last state had been looked at of which nothing was left out. */
  #transitionsOfWhole = 0;

  constructor(bounds: {
    /** The properties that are looked for. */
    readonly wanted: ReadonlySet<string>;
    /** The search ends when all have fallen. */
    readonly endsFallen: boolean;
    readonly depth: number;
    readonly states: number;
  }) {
    this.#wanted = bounds.wanted;
    this.#endsFallen = bounds.endsFallen;
    this.#deepest = bounds.depth;
    this.#most = bounds.states;
  }

  /** The record that was {@link saved}, with bounds of now. */
  static of(saved: SavedSearch, bounds: ConstructorParameters<typeof SearchRecord>[0]): SearchRecord<string> {
    const record = new SearchRecord<string>(bounds);
    for (const key of saved.keys) record.#seen.add(key);
    for (const from of saved.before) record.#before.push(from);
    for (const line of saved.by) record.#by.push(saved.lines[line]);
    record.#counterexamples.push(...saved.counterexamples);
    record.#frontier = [...saved.frontier];
    record.#next = [...saved.next];
    record.#position = saved.position;
    record.#depth = saved.depth;
    record.#transitions = saved.transitions;
    record.#transitionsOfWhole = saved.transitions;
    return record;
  }

  /**
   * The record `of` a search whose actions are lines, between two states that it looked at. One that met its bound of states looks again at the state of
   * which it left something out.
   */
  static save(of: SearchRecord<string>): SavedSearch {
    const lines = new Map<string, number>();
    const by = of.#by.map((line) => {
      if (line === undefined) return -1;
      const known = lines.get(line) ?? lines.size;
      lines.set(line, known);
      return known;
    });
    return {
      keys: [...of.#seen],
      before: [...of.#before],
      by,
      lines: [...lines.keys()],
      frontier: of.#frontier,
      position: of.#position - (of.#full ? 1 : 0),
      next: [...of.#next],
      depth: of.#depth,
      transitions: of.#transitionsOfWhole,
      counterexamples: [...of.#counterexamples],
    };
  }

  /**
   * A state was reached. Whether it is to be looked at later.
   *
   * @param from the state before it, by number; of the first, itself
   * @param broken the properties that do not hold there: asked only of a state that is new
   */
  reach(
    key: string | number,
    from: number,
    action: Action | undefined,
    broken: () => readonly string[],
  ): boolean {
    if (action !== undefined) this.#transitions++;
    if (this.#seen.has(key)) return false;
    if (this.#seen.size >= this.#most) {
      this.#full = true;
      return false;
    }
    this.#seen.add(key);
    const state = this.#before.push(from) - 1;
    this.#by.push(action);
    const fallen = broken().filter((id) => this.#wanted.has(id));
    for (const property of fallen) {
      if (this.#counterexamples.some((known) => known.property === property)) continue;
      this.#counterexamples.push({ property, actions: this.wayTo(state) });
    }
    if (fallen.length > 0) return false;
    this.#next.push(state);
    return true;
  }

  /** So many more ways to states that were known. */
  knownAgain(transitions: number): void {
    this.#transitions += transitions;
  }

  /** Goes to the next depth where this one was looked at. Where the search ends instead. */
  advance(): End | undefined {
    const end = this.end;
    if (end !== undefined || this.#position < this.#frontier.length) return end;
    if (this.#next.length === 0) return this.#counterexamples.length === 0 ? 'closed' : 'cut';
    if (this.#depth >= this.#deepest) return 'depth';
    this.#depth++;
    this.#frontier = this.#next;
    this.#next = [];
    this.#position = 0;
    return undefined;
  }

  /** The states of this depth that are to be looked at yet, in order. */
  get waiting(): readonly number[] {
    return this.#frontier.slice(this.#position);
  }

  /** The first of {@link waiting}: to be looked at now. */
  get current(): number {
    return this.#frontier[this.#position] ?? 0;
  }

  /** How many states of this depth were looked at. */
  get position(): number {
    return this.#position;
  }

  /** {@link current} was looked at. */
  looked(): void {
    this.#position++;
    if (!this.#full) this.#transitionsOfWhole = this.#transitions;
  }

  /** What ends a search in the middle of a depth. */
  get end(): 'fallen' | 'states' | undefined {
    if (this.#endsFallen && this.#counterexamples.length === this.#wanted.size) return 'fallen';
    return this.#full ? 'states' : undefined;
  }

  /** The actions that lead to a state. */
  wayTo(state: number): Action[] {
    const actions: Action[] = [];
    for (let at = state; at > 0; at = this.#before[at] ?? 0) {
      const action = this.#by[at];
      if (action !== undefined) actions.push(action);
    }
    return actions.reverse();
  }

  get progress(): Progress {
    return {
      states: this.#seen.size,
      transitions: this.#transitions,
      depth: this.#depth,
      frontier: this.#frontier.length - this.#position + this.#next.length,
      fallen: this.#counterexamples.length,
    };
  }

  result(end: SearchResult<Action>['end']): SearchResult<Action> {
    return { end, ...this.progress, counterexamples: this.#counterexamples };
  }
}
