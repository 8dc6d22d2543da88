import { VcpuWaits, type YieldPoint } from '@heki/hypervisor';
import { type Agent, createScheduler } from '@heki/vcpu';
import type { LabRecord } from '../attacker/observer.ts';
import type { RacingAttack } from './lab-attack.ts';

/** When the attacker on the second processor has his turns. */
export interface Schedule {
  readonly seed: number;
  /**
   * Numbers of the moments, from 0, at which he has a turn, instead of those that the seed gives. `undefined`: the seed decides. A moment is behind an
   * access of the kernel, or a `YieldPoint` within a request of it.
   */
  readonly turns: readonly number[] | undefined;
}

/** The seed with which he has a turn at every moment. */
export const EVERY_MOMENT = 0;
/** The schedules of a race that are tried first: those in which the seed chooses his turns, and last the one with every turn. */
export const SEEDS: readonly number[] = [1, 2, 3, EVERY_MOMENT];
/** Of so many agents one is the attacker: the others do nothing. */
const AGENTS = 4;

/** How a race went. */
export interface RaceCourse {
  /** Numbers of the turns that the attacker had. */
  readonly taken: readonly number[];
  /** Each moment: at which point of a request it lay, `undefined` between two accesses of the kernel. */
  readonly moments: readonly (YieldPoint | undefined)[];
}

/**
 * Has the kernel work on the first processor, and the attacker act on the second one between two accesses of it, and at the points at which the
 * hypervisor's handling of its exits yields.
 */
export function raceOnce(
  { lab, sync }: LabRecord,
  race: RacingAttack,
  { seed, turns }: Schedule,
): RaceCourse {
  const { machine } = lab;
  const taken: number[] = [];
  const moments: (YieldPoint | undefined)[] = [];
  const attacker = agent('attacker', () => {
    taken.push(moments.length - 1);
    try {
      race.turn(lab);
    } catch (stop) {
      // He begins anew with his next turn.
      if (!(stop instanceof VcpuWaits)) throw stop;
    }
    sync();
  });
  const idle = Array.from({ length: AGENTS - 1 }, (_, index) => agent(`idle ${index}`, () => {}));
  const scheduler = createScheduler({
    agents: seed === EVERY_MOMENT ? [attacker] : [attacker, ...idle],
    seed,
  });
  const planned = turns === undefined ? undefined : new Set(turns);
  const replayed = createScheduler({ agents: [attacker], seed });
  machine.interleave = (within) => {
    moments.push(within);
    if (planned === undefined) scheduler.step();
    else if (planned.has(moments.length - 1)) replayed.step();
  };
  try {
    race.work(lab);
  } finally {
    machine.interleave = undefined;
  }
  return { taken, moments };
}

/**
 * The schedules between check and use: in each of them he has every turn from the moment on at which a request has read its last. What he does earlier
 * is seen by whoever looks; what he does later may be too late.
 *
 * @param moments of a race in which he has done nothing
 */
export function schedulesBehindReads(moments: RaceCourse['moments']): Schedule[] {
  return moments.flatMap((within, first) =>
    within === 'guest-read' && moments[first + 1] !== 'guest-read' ? [turnsFrom(first, moments.length)] : [],
  );
}

/** A turn at each moment from `first` on, before `end`. */
export function turnsFrom(first: number, end: number): Schedule {
  return { seed: EVERY_MOMENT, turns: Array.from({ length: end - first }, (_, index) => first + index) };
}

/**
 * The fewest turns with which a race still succeeds: first the half of them, then single ones are left out as long as it does.
 *
 * @param succeeds replays the race with these turns
 */
export function shortestTurns(
  turns: readonly number[],
  succeeds: (turns: readonly number[]) => boolean,
): readonly number[] {
  let kept = turns;
  for (let part = Math.ceil(kept.length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = 0; at < kept.length && kept.length > 1; ) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + part)];
      if (fewer.length > 0 && succeeds(fewer)) kept = fewer;
      else at += part;
    }
  }
  return kept;
}

/** An agent that does `turn` whenever it has its turn. */
function agent(name: string, turn: () => void): Agent {
  return {
    name,
    steps: (function* () {
      for (;;) {
        turn();
        yield undefined;
      }
    })(),
  };
}
