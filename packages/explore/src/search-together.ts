import type { Expander, Expansion } from './expand.ts';
import type { Machine } from './machine.ts';
import { recordFor } from './search.ts';
import { type SavedSearch, SearchRecord } from './search-record.ts';
import type { Bounds, SearchResult } from './search-result.ts';

/** A search by several, whose states are stories. */
export interface TogetherOptions extends Bounds {
  /** Who looks. Asked for as soon as so many states wait that it is worth more than one; the first time, and then no more. */
  readonly expanders: (waiting: number) => readonly Expander[];
  /** Where an earlier search was, which goes on. */
  readonly from?: SavedSearch | undefined;
  /** Called whenever the search can be saved, and where it ends, with what gives all of it. */
  readonly onPoint?: ((save: () => SavedSearch, ended: boolean) => void | Promise<void>) | undefined;
}

/** States that are handed to an expander at once, at most: what it has at hand when others wait for it. */
const MOST_AT_ONCE = 16;

/**
 * As `search`, by as many as there are: what each of them finds is taken in the order of one that looks alone, so that the same comes of it: states,
 * transitions, stories. Only this side knows which states were reached.
 *
 * @param machine what is searched; only its first state is looked at here
 */
export async function searchTogether<State, Action>(
  machine: Machine<State, Action>,
  { expanders, from, onPoint, ...bounds }: TogetherOptions,
): Promise<SearchResult<string>> {
  const limits = recordFor(machine, bounds);
  const record = from === undefined ? new SearchRecord<string>(limits) : SearchRecord.of(from, limits);
  if (from === undefined) {
    const first = machine.initial();
    record.reach(machine.key(first), 0, undefined, () => machine.broken(first, limits.wanted));
  }
  const save = (): SavedSearch => SearchRecord.save(record);
  const endAt = async (end: SearchResult<string>['end']): Promise<SearchResult<string>> => {
    await onPoint?.(save, true);
    return record.result(end);
  };
  for (;;) {
    const end = record.advance();
    if (end !== undefined) return endAt(end);
    const { waiting } = record;
    for await (const expansion of inOrder(
      expanders(waiting.length),
      waiting.map((state) => () => record.wayTo(state)),
    )) {
      const { current } = record;
      for (const { key, line, broken } of expansion.reached) record.reach(key, current, line, () => broken);
      record.knownAgain(expansion.known);
      record.looked();
      const ended = record.end;
      if (ended !== undefined) return endAt(ended);
      if (bounds.stop?.(record.progress) === true) return endAt('stopped');
      await onPoint?.(save, false);
    }
  }
}

/** What comes of stories, in their order, from whoever has time for them. */
async function* inOrder(
  expanders: readonly Expander[],
  stories: readonly (() => readonly string[])[],
): AsyncGenerator<Expansion> {
  const size = Math.max(1, Math.min(MOST_AT_ONCE, Math.ceil(stories.length / (4 * expanders.length))));
  let handedOut = 0;
  const begin = (expander: Expander) => {
    const chunk = stories.slice(handedOut, handedOut + size).map((story) => story());
    handedOut += chunk.length;
    const result = Promise.resolve(expander.expand(chunk));
    // It is told of when its turn comes.
    result.catch(() => {});
    return { expander, result };
  };
  // While one waits for its turn, it has the next at hand.
  const running = [...expanders, ...expanders].flatMap((expander) =>
    handedOut < stories.length ? [begin(expander)] : [],
  );
  for (let head = running.shift(); head !== undefined; head = running.shift()) {
    const expansions = await head.result;
    if (handedOut < stories.length) running.push(begin(head.expander));
    yield* expansions;
  }
}
