import type { Bounds, SearchResult } from '@heki/explore';
import { exploreText } from '../explore/explore-text.ts';
import { ACTORS, type Actor, type ExploredMachine, exploredMachine } from '../explore/explored-machine.ts';
import { replayStories } from '../explore/replay-stories.ts';
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
  readonly replay?: string;
  readonly json?: boolean;
}

/** Default of `--states`. */
const MOST_STATES = 1_000_000;

/** `heki explore`. Exit code 1 when a property fell. */
export async function explore(options: ExploreOptions, io: CommandIo): Promise<number> {
  const {
    machine: name = 'kvm',
    property,
    without = [],
    depth,
    states = MOST_STATES,
    time,
    replay,
    json,
    ...flags
  } = options;
  const actors = without.map(actorNamed);
  const machine = await exploredMachine(name, flags, actors);
  const known = machine.properties.map(({ id }) => id);
  for (const id of property ?? []) {
    if (!known.includes(id))
      throw new UsageError(`--property ${id}: expected one of ${known.join(', ')} for ${name}`);
  }
  const wanted = property ?? known;
  const result =
    replay === undefined
      ? searched(machine, { depth: depth ?? machine.depth, states, properties: property }, time, io)
      : await replayStories(machine, replay, wanted);
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

/** Searches, and tells how far it is. */
function searched(
  machine: ExploredMachine,
  bounds: Bounds & { readonly states: number },
  time: number | undefined,
  io: CommandIo,
): SearchResult<string> {
  const progress = createProgress(io, { what: 'searching', total: bounds.states });
  const begun = Date.now();
  const result = machine.search({
    ...bounds,
    stop: ({ states: done, transitions, depth: deep, frontier }) => {
      const seconds = (Date.now() - begun) / 1000;
      const speed = number(Math.round(transitions / Math.max(seconds, 0.001)));
      progress.update(done, `depth ${deep}, ${number(frontier)} waiting, ${speed} transitions/s`);
      return time !== undefined && seconds >= time;
    },
  });
  progress.stop();
  return result;
}

function actorNamed(name: string): Actor {
  const known = ACTORS.find((actor) => actor === name);
  if (known === undefined) throw new UsageError(`--without ${name}: expected one of ${ACTORS.join(', ')}`);
  return known;
}
