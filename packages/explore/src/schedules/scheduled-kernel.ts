import type { Property } from '../machine.ts';
import type { Replayed } from '../replay.ts';
import type { Counterexample } from '../search-result.ts';
import { type ExploredSchedules, exploreSchedules, type ScheduleBounds } from './explore-schedules.ts';
import { type OtherProcessors, runKernel, type ScheduledHypervisor } from './kernel-run.ts';

export type { OtherProcessors, ScheduledHypervisor };

/** What can happen while a kernel loads a module, looked at by schedules. */
export interface ScheduledKernel {
  readonly name: string;
  readonly properties: readonly Property[];
  /** Runs all schedules, as `exploreSchedules`; of those in which a property falls it keeps the one whose story has the fewest lines. */
  explore(bounds?: KernelScheduleBounds): KernelSchedules;
  /** Tells a story again, up to what cannot happen. */
  replay(story: readonly string[]): Replayed;
}

interface KernelScheduleBounds extends Pick<ScheduleBounds, 'schedules' | 'unreduced'> {
  /** Asked after each schedule. `true` ends the exploration. */
  readonly stop?:
    | ((progress: { readonly schedules: number; readonly fallen: number }) => boolean)
    | undefined;
}

interface KernelSchedules extends ExploredSchedules {
  readonly counterexamples: readonly Counterexample<string>[];
}

/** One stores, and another one executes. */
const EVERYBODY: OtherProcessors = [['stores to'], ['executes']];

const PROPERTIES: readonly Property[] = [
  {
    id: 'P6',
    says: 'every byte that the kernel fetches from the text of a module is the one that was signed',
  },
];

/**
 * A kernel as it ships (`createLinuxMachine`), booted on processor 0, that loads a signed module and executes it, while other processors make single
 * accesses to the module's text wherever they can have a step.
 */
export function scheduledKernel(
  hypervisor: ScheduledHypervisor,
  others: OtherProcessors = EVERYBODY,
): ScheduledKernel {
  return {
    name: hypervisor.name,
    properties: PROPERTIES,
    explore({ schedules, unreduced, stop } = {}) {
      const found = new Map<string, readonly string[]>();
      let lines: Line[] = [];
      /** How many of the lines had happened when a property fell. */
      let falls = new Map<string, number>();
      let runs = 0;
      const result = exploreSchedules(
        {
          run(choose, done) {
            lines = [];
            falls = new Map();
            runKernel(hypervisor, others, choose, ({ thread, line, footprint, broken }) => {
              lines.push({ thread, line });
              for (const id of broken) if (!falls.has(id)) falls.set(id, lines.length);
              done(footprint);
            });
          },
        },
        {
          schedules,
          unreduced,
          onSchedule() {
            runs++;
            for (const [id, length] of falls) {
              const story = storyOf(lines.slice(0, length));
              if (story.length < (found.get(id)?.length ?? Number.POSITIVE_INFINITY)) found.set(id, story);
            }
            return stop?.({ schedules: runs, fallen: found.size }) === true;
          },
        },
      );
      return {
        ...result,
        counterexamples: [...found].map(([property, actions]) => ({ property, actions })),
      };
    },
    replay(story) {
      let steps = 0;
      const broken = runKernel(
        hypervisor,
        others,
        (enabled) => threadOf(story[steps], enabled),
        ({ line }) => {
          if (bare(line) === bare(story[steps])) steps++;
        },
      );
      return { steps, broken: [...broken] };
    },
  };
}

interface Line {
  readonly thread: number;
  readonly line: string;
}

/** A line for each processor's step, and one for each time that the kernel goes on. */
function storyOf(lines: readonly Line[]): string[] {
  return lines.flatMap(({ thread, line }, at) => (thread === 0 && lines[at + 1]?.thread === 0 ? [] : [line]));
}

/** A line without what it says beside the place: on another machine another point of a request may lie there. */
function bare(line: string | undefined): string | undefined {
  return line?.replace(/ \(.*\)$/, '');
}

/** Who has the next step, for a line to come true. A processor whose line is another one ends the story there. */
function threadOf(line: string | undefined, enabled: readonly number[]): number | undefined {
  const thread =
    line?.startsWith('the kernel ') === true ? 0 : Number(/^processor (\d+) /.exec(line ?? '')?.[1]);
  return enabled.includes(thread) ? thread : undefined;
}
