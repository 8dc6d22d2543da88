import { availableParallelism } from 'node:os';
import type { Bounds, Progress, SavedSearch, SearchResult, TogetherOptions } from '@heki/explore';
import { isModulePath } from '@heki/machine';
import { exploreText } from '../explore/explore-text.ts';
import { ACTORS, type Actor, type ExploredMachine, exploredMachine } from '../explore/explored-machine.ts';
import { keepSearch, readSearch } from '../explore/kept-search.ts';
import type { MachineOptions } from '../explore/parse-report.ts';
import { readStories } from '../explore/read-stories.ts';
import { replayStories } from '../explore/replay-stories.ts';
import type { Explored } from '../explore/search-thread.ts';
import { type SearchThread, searchThreads } from '../explore/search-threads.ts';
import { writeStories } from '../explore/story-files.ts';
import { ExitCode, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { createProgress } from '../progress.ts';
import { number } from '../quantity.ts';
import { writeReport } from '../report/write-report.ts';

/** Options of `heki explore`. */
export interface ExploreOptions extends Pick<MachineFlags, 'profile' | 'defect' | 'mbec' | 'cpu'> {
  readonly machine?: string;
  readonly property?: readonly string[];
  readonly without?: readonly string[];
  readonly depth?: number;
  readonly states?: number;
  readonly time?: number;
  readonly workers?: number;
  readonly resume?: string;
  readonly replay?: string;
  readonly write?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Default of `--states`. */
const MOST_STATES = 1_000_000;

/** `heki explore`. Exit code 1 when a property fell. */
export async function explore(options: ExploreOptions, io: CommandIo): Promise<number> {
  const {
    machine: given,
    property,
    without: left,
    depth,
    states = MOST_STATES,
    time,
    workers,
    resume,
    replay,
    write,
    force = false,
    json,
    ...chosen
  } = options;
  const report = replay === undefined ? undefined : await readStories(replay);
  const name = given ?? report?.machine ?? 'kvm';
  // A file of stories is data, and runs nothing that the user has not named.
  if (given === undefined && isModulePath(name))
    throw new UsageError(
      `--replay ${replay}: its machine is the ES module ${JSON.stringify(name)}, whose code would run: expected --machine ${name} beside it`,
    );
  // What the file says of a machine is of that one alone.
  const told = name === report?.machine ? report.options : {};
  const flags = flagsOf(chosen, told);
  const without = (left ?? told.without ?? []).map(actorNamed);
  const explored = { name, flags, without };
  const machine = await exploredMachine(name, flags, without);
  const known = machine.properties.map(({ id }) => id);
  for (const id of property ?? []) {
    if (!known.includes(id))
      throw new UsageError(`--property ${id}: expected one of ${known.join(', ')} for ${name}`);
  }
  const wanted = property ?? known;
  const result =
    report === undefined
      ? await searched(
          explored,
          machine,
          { depth: depth ?? machine.depth, states, properties: property },
          { time, workers, resume },
          io,
        )
      : replayStories(machine, report, wanted);
  if (write !== undefined) await writeStories(write, explored, machine, result.counterexamples, force);
  await writeReport(
    'explore',
    {
      json: () => ({
        machine: name,
        title: machine.title,
        properties: machine.properties
          .filter(({ id }) => wanted.includes(id))
          .map(({ id, says }) => {
            const story = result.counterexamples.find((each) => each.property === id)?.actions;
            const verdict =
              story !== undefined ? 'falls' : result.end === 'closed' ? 'holds' : 'did-not-fall';
            return { id, says, verdict, story };
          }),
        states: result.states,
        transitions: result.transitions,
        depth: result.depth,
        end: result.end,
        requestsAreOneStep: machine.requestsAreOneStep,
      }),
      text: (screen) => exploreText(machine, result, wanted, screen),
    },
    { json },
    io,
  );
  return result.counterexamples.length === 0 ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** States that wait from which on threads are worth their start: some seconds of work. */
const MANY = 200;

/** How a search is done, not for what. */
interface Means {
  readonly time: number | undefined;
  readonly workers: number | undefined;
  readonly resume: string | undefined;
}

/** Searches, and tells how far it is. */
async function searched(
  explored: Explored,
  machine: ExploredMachine,
  bounds: Bounds & { readonly states: number },
  { time, workers, resume }: Means,
  io: CommandIo,
): Promise<SearchResult<string>> {
  const progress = createProgress(io, { what: 'searching', total: bounds.states });
  const begun = Date.now();
  let before = 0;
  const stop = ({ states: done, transitions, depth: deep, frontier }: Progress): boolean => {
    const seconds = (Date.now() - begun) / 1000;
    const speed = number(Math.round((transitions - before) / Math.max(seconds, 0.001)));
    progress.update(done, `depth ${deep}, ${number(frontier)} waiting, ${speed} transitions/s`);
    return time !== undefined && seconds >= time;
  };
  if (machine.isAbstract && resume === undefined) {
    const result = machine.search({ ...bounds, stop });
    progress.stop();
    return result;
  }

  const properties = bounds.properties ?? machine.properties.map(({ id }) => id);
  const here = [machine.expander(properties)];
  // What a user's module does is watched over in this thread alone.
  const most = machine.isAbstract || isModulePath(explored.name) ? 1 : (workers ?? availableParallelism());
  const { threadEntry } = io;
  let threads: readonly SearchThread[] | undefined;
  const of = { ...explored, properties };
  const from = resume === undefined ? undefined : await readSearch(resume, of);
  before = from?.transitions ?? 0;
  const keep = resume === undefined ? undefined : keeper((saved) => keepSearch(resume, of, saved));
  try {
    return await machine.searchTogether({
      ...bounds,
      stop,
      from,
      onPoint: keep,
      expanders(waiting) {
        if (most > 1 && waiting >= MANY && threadEntry !== undefined)
          threads ??= searchThreads(threadEntry, most, { explored, properties });
        return threads ?? here;
      },
    });
  } finally {
    progress.stop();
    await Promise.all((threads ?? []).map((thread) => thread.end()));
  }
}

/** Milliseconds between two times that a search is kept, at least, and how many times as long as that took. */
const KEPT_EVERY = 5000;
const KEPT_SHARE = 20;

/** Keeps a search now and then, and at its end. */
function keeper(write: (saved: SavedSearch) => Promise<void>): NonNullable<TogetherOptions['onPoint']> {
  let due = Date.now() + KEPT_EVERY;
  return async (save, ended) => {
    const begun = Date.now();
    if (!ended && begun < due) return;
    await write(save());
    const done = Date.now();
    due = done + Math.max(KEPT_EVERY, KEPT_SHARE * (done - begun));
  };
}

/** The options of the command, and for what they leave open those of a file. Without `--no-mbec` nothing is said of it. */
function flagsOf(chosen: MachineFlags, told: MachineOptions): MachineFlags {
  const defect = { ...told.defect, ...chosen.defect };
  const profile = chosen.profile ?? told.profile;
  const cpu = chosen.cpu ?? told.cpu;
  return {
    ...(profile === undefined ? {} : { profile }),
    ...(Object.keys(defect).length === 0 ? {} : { defect }),
    ...(chosen.mbec === false || told.mbec === false ? { mbec: false } : {}),
    ...(cpu === undefined ? {} : { cpu }),
  };
}

function actorNamed(name: string): Actor {
  const known = ACTORS.find((actor) => actor === name);
  if (known === undefined) throw new UsageError(`--without ${name}: expected one of ${ACTORS.join(', ')}`);
  return known;
}
