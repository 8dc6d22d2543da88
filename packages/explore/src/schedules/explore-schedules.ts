import { dependent, type Footprint } from './footprint.ts';
import { HappensBefore } from './happens-before.ts';

/** Gives the next step to a thread: one of `enabled`, which is not empty. `undefined`: nobody looks at the rest any more. */
export type Choose = (enabled: readonly number[]) => number | undefined;

/** What has threads, and can be begun again and again. */
export interface ThreadedProgram {
  /**
   * Runs it from its beginning to its end. It asks `choose` whenever another thread can go on, and tells `done` what the step has looked at and changed that was
   * chosen last. The same choices must give the same run.
   */
  run(choose: Choose, done: (footprint: Footprint) => void): void;
}

/** Where the exploration of schedules ends. */
export interface ScheduleBounds {
  /** Most schedules that are run, those included that are left on their way. Default: no bound. */
  readonly schedules?: number | undefined;
  /** Every schedule is run, also those that differ only in the order of steps that do not depend on each other. For who checks that this shows nothing more. */
  readonly unreduced?: true | undefined;
  /** Called after each schedule that came to its end. `true` ends the exploration. */
  readonly onSchedule?: ((schedule: readonly number[], shape: () => string) => boolean) | undefined;
}

/** How far the exploration came. */
export interface ExploredSchedules {
  /** `closed`: all schedules were run, or one that differs from them only in the order of steps that do not depend on each other. */
  readonly end: 'closed' | 'schedules' | 'stopped';
  /** Schedules that came to their end. */
  readonly schedules: number;
  /** Schedules that were left on their way, because all that could follow was run before. */
  readonly left: number;
  readonly steps: number;
  /** Steps of the longest schedule. */
  readonly longest: number;
}

/** A place in the schedule at which there was a choice. */
interface Node {
  readonly enabled: readonly number[];
  /** Threads whose next step, with this footprint, was tried before from here or in an equal place, and need not be tried again. */
  readonly sleep: Map<number, Footprint>;
  /** Threads that are to be tried from here: they grow to a source set. */
  readonly wanted: Set<number>;
  chosen: number;
  /** Of the step that was chosen, once it was done. */
  footprint: Footprint | undefined;
}

/**
 * Runs all schedules of `program`, up to the order of steps that do not depend on each other: source-DPOR with sleep sets (Abdulla, Aronis, Jonsson and Sagonas, POPL
 * 2014). Stateless: each schedule is told from the beginning, and no state is kept, so that nothing need be known of what makes two states one.
 */
export function exploreSchedules(program: ThreadedProgram, bounds: ScheduleBounds = {}): ExploredSchedules {
  const { schedules: most = Number.POSITIVE_INFINITY, unreduced = false, onSchedule } = bounds;
  const nodes: Node[] = [];
  const order = new HappensBefore();
  const counts = { schedules: 0, left: 0, steps: 0, longest: 0 };
  /** The schedule differs from the one before from this place on. */
  let from = 0;
  for (;;) {
    const whole = runOnce(program, nodes, unreduced);
    counts[whole ? 'schedules' : 'left']++;
    counts.steps += nodes.length;
    counts.longest = Math.max(counts.longest, nodes.length);
    order.cut(from);
    for (const { chosen, footprint } of nodes.slice(from)) {
      for (const { first, initials } of order.add({ thread: chosen, footprint: known(footprint) }))
        wantOne(nodes[first], initials);
    }
    if (
      whole &&
      onSchedule?.(
        nodes.map(({ chosen }) => chosen),
        () => order.shape,
      ) === true
    )
      return { end: 'stopped', ...counts };
    from = turnBack(nodes);
    if (from < 0) return { end: 'closed', ...counts };
    if (counts.schedules + counts.left >= most) return { end: 'schedules', ...counts };
  }
}

/** One of `initials` is to be tried at `node`. */
function wantOne(node: Node | undefined, initials: ReadonlySet<number>): void {
  if (node === undefined || [...initials].some((thread) => node.wanted.has(thread))) return;
  const thread = node.enabled.find((one) => initials.has(one));
  if (thread === undefined)
    throw new RangeError(
      `none of threads ${[...initials].join(', ')} can go on: expected threads that never wait`,
    );
  node.wanted.add(thread);
}

/** Cuts the schedule after the last place with another thread to try, and chooses it. That place; -1: there is none. */
function turnBack(nodes: Node[]): number {
  for (let node = nodes.at(-1); node !== undefined; node = nodes.at(-1)) {
    const { sleep, wanted, chosen, footprint } = node;
    sleep.set(chosen, known(footprint));
    const next = [...wanted].find((thread) => !sleep.has(thread));
    if (next !== undefined) {
      node.chosen = next;
      node.footprint = undefined;
      return nodes.length - 1;
    }
    nodes.pop();
  }
  return -1;
}

/** Runs the program along the schedule, and on from its end. Whether it came to its end. */
function runOnce(program: ThreadedProgram, nodes: Node[], unreduced: boolean): boolean {
  let place = 0;
  let whole = true;
  program.run(
    (enabled) => {
      const there = nodes[place];
      if (there !== undefined) {
        if (there.enabled.join() !== enabled.join())
          throw new RangeError(
            `what happened does not happen again: at step ${place + 1} threads ${enabled.join(', ')} can go on: expected ${there.enabled.join(', ')}`,
          );
        place++;
        return there.chosen;
      }
      const node = newNode(nodes.at(-1), enabled, unreduced);
      if (node === undefined) {
        whole = false;
        return undefined;
      }
      nodes.push(node);
      place++;
      return node.chosen;
    },
    (footprint) => {
      const node = nodes[place - 1];
      if (node !== undefined) node.footprint = footprint;
    },
  );
  return whole;
}

/** The place behind `before`; `undefined` when all that can follow was tried before. */
function newNode(before: Node | undefined, enabled: readonly number[], unreduced: boolean): Node | undefined {
  const sleep = new Map<number, Footprint>();
  if (before !== undefined && !unreduced) {
    const done = known(before.footprint);
    for (const [thread, footprint] of before.sleep)
      if (thread !== before.chosen && !dependent(footprint, done)) sleep.set(thread, footprint);
  }
  const awake = enabled.filter((thread) => !sleep.has(thread));
  const chosen = awake.find((thread) => thread === before?.chosen) ?? awake[0];
  if (chosen === undefined) return undefined;
  return { enabled, sleep, wanted: new Set(unreduced ? enabled : [chosen]), chosen, footprint: undefined };
}

function known(footprint: Footprint | undefined): Footprint {
  if (footprint === undefined) throw new RangeError('a step that is done tells what it has looked at');
  return footprint;
}
