import type { Choice, Timeline, TimelineEvent } from '@heki/inspector';
import { UsageError } from '../../../failure.ts';
import type { Life, LifeEvent } from './life.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** Events of a life that are told: a scenario may have any number. */
const MOST_EVENTS = 2 ** 16;

/** A life, event by event. */
export function timelineOf(life: Life): Timeline {
  const events: LifeEvent[] = [];
  let untold = 0;
  const outcome = life.live((event) => {
    if (events.length < MOST_EVENTS) events.push(event);
    else untold++;
  });
  return timelineOfEvents(
    life.machine,
    events,
    untold === 0 ? outcome : `${outcome}; ${untold} more events are not told`,
  );
}

export function timelineOfEvents(machine: Choice, told: readonly LifeEvent[], outcome: string): Timeline {
  const lanes = [...new Set(told.map(({ lane }) => lane))];
  const events = told.map(
    ({ lane, text, isStep }): TimelineEvent => ({ lane: lanes.indexOf(lane), text, isStep }),
  );
  return { machine, lanes, events, outcome };
}

/**
 * What `look` finds at events of a life. A machine is not used any more behind the last of them: what an exception leaves of it is not
 * what it was.
 *
 * @param at numbers of events, ascending
 * @throws {UsageError} when the life does not have so many
 */
export function lookAt<Found>(
  life: Life,
  at: readonly number[],
  look: (machine: WatchedMachine, at: number) => Found,
): Found[] {
  const found: Found[] = [];
  let count = 0;
  try {
    life.live((_, machine) => {
      const now = count++;
      if (at.includes(now)) found.push(look(machine, now));
      if (now === at.at(-1)) throw new Reached();
    });
  } catch (error) {
    if (!(error instanceof Reached)) throw error;
  }
  if (found.length < at.length)
    throw new UsageError(`event ${at.at(-1)}: there are ${count} events, from 0 on`);
  return found;
}

/** Ends a life: thrown through its machine. */
class Reached extends Error {}
