import { createLab } from '../attacker/create-lab.ts';
import { createSnapshotLab } from '../attacker/create-snapshot-lab.ts';
import type { LabRecord } from '../attacker/observer.ts';
import type { LabStep } from '../attacker/recorder.ts';
import { type Judgement, judge } from '../judge/verdict.ts';
import { type BootedMachine, BootFailed } from '../machines/boot-machine.ts';
import type { SnapshotMachine } from '../machines/boot-snapshot.ts';
import type { LabAttack, RacingAttack } from './lab-attack.ts';
import { NotExpressible } from './not-expressible.ts';
import {
  EVERY_MOMENT,
  type RaceCourse,
  raceOnce,
  type Schedule,
  SEEDS,
  schedulesBehindReads,
  shortestTurns,
  turnsFrom,
} from './race.ts';

/** Boots a machine for one attempt. */
export type Boot = () => BootedMachine | SnapshotMachine;

/** An attack on a machine, and how it went. */
export interface AttackRun extends Judgement {
  readonly steps: readonly LabStep[];
  /** Of a race that succeeded: the seed of the scheduler, and the attacker's turns by their numbers. */
  readonly schedule?: Schedule;
}

/** Looks on while an attack is tried. */
export interface Onlooker {
  /**
   * A machine has booted, and is attacked from now on.
   *
   * @param attempt its steps, which grow, and how many of them are over
   * @param schedule of a race
   */
  begins(attempt: Pick<LabRecord, 'steps' | 'done'>, schedule: Schedule | undefined): void;
  /** The attack is over: what comes is the judge's. */
  ends(): void;
}

/**
 * Tries an attack on machines that `boot` makes: one, or of a race one for each schedule until it succeeds.
 *
 * @param schedule of a race: only this one, for a replay
 * @param onlooker is told of each attempt that may be the result
 */
export function runAttack(
  attack: LabAttack,
  boot: Boot,
  schedule?: Schedule,
  onlooker?: Onlooker,
): AttackRun {
  const { race } = attack;
  if (race === undefined)
    return attempt(
      boot,
      watched((lab) => attack.run(lab.lab), onlooker),
    );
  if (schedule !== undefined) return attemptRace(attack, race, boot, schedule, onlooker);
  const first = SEEDS.map((seed) => ({ seed, turns: undefined }));
  let tried = 0;
  let result: AttackRun | undefined;
  for (const next of schedulesOf(first, () => schedulesBehindReads(quietMoments(attack, race, boot)))) {
    const run = attemptRace(attack, race, boot, next, onlooker);
    if (isSuccess(run) || run.verdict === 'not expressible') return run;
    tried++;
    // A guest that died once is told, whatever came of other schedules.
    if (result === undefined || result.verdict === 'blocked') result = run;
  }
  if (result === undefined) throw new TypeError('a race has schedules');
  const { schedule: _, ...rest } = result;
  return { ...rest, evidence: `in ${tried} schedules: ${result.evidence}` };
}

/** The second ones are not looked for as long as one of the first will do. */
function* schedulesOf(first: readonly Schedule[], second: () => readonly Schedule[]): Iterable<Schedule> {
  yield* first;
  yield* second();
}

/**
 * Tries a race in every schedule in which the attacker has one turn, or all turns from a moment on: what an early turn spoils, a late one does not.
 * The first that succeeds, or `undefined`.
 *
 * @throws {TypeError} for an attack that is not a race
 */
export function sweepSchedules(attack: LabAttack, boot: Boot): AttackRun | undefined {
  const { race } = attack;
  if (race === undefined) throw new TypeError(`${attack.name} is not a race`);
  const { length } = quietMoments(attack, race, boot);
  for (let first = 0; first < length; first++) {
    for (const end of first === length - 1 ? [length] : [first + 1, length]) {
      const run = attemptRace(attack, race, boot, turnsFrom(first, end));
      if (isSuccess(run)) return run;
    }
  }
  return undefined;
}

const isSuccess = ({ verdict }: AttackRun): boolean =>
  verdict === 'succeeds' || verdict === 'detected too late';

/** The moments of a race in which the attacker lets his turns pass. */
function quietMoments(attack: LabAttack, race: RacingAttack, boot: Boot): RaceCourse['moments'] {
  let moments: RaceCourse['moments'] = [];
  attempt(boot, (record) => {
    attack.run(record.lab);
    ({ moments } = raceOnce(record, { ...race, turn: () => {} }, { seed: EVERY_MOMENT, turns: [] }));
  });
  return moments;
}

/**
 * The shortest schedule with which a race still succeeds, found by leaving out turns of one with which it does.
 *
 * @param run a run that succeeded
 * @throws {TypeError} for an attack that is not a race, or a run without a schedule
 */
export function shortestSchedule(attack: LabAttack, boot: Boot, run: AttackRun): Schedule {
  const { schedule } = run;
  if (attack.race === undefined || schedule?.turns === undefined)
    throw new TypeError(`${attack.name} is not a race that succeeded`);
  const succeeds = (turns: readonly number[]): boolean =>
    isSuccess(runAttack(attack, boot, { ...schedule, turns }));
  return { ...schedule, turns: shortestTurns(schedule.turns, succeeds) };
}

function attemptRace(
  attack: LabAttack,
  race: RacingAttack,
  boot: Boot,
  schedule: Schedule,
  onlooker?: Onlooker,
): AttackRun {
  let taken: readonly number[] = [];
  const tryIt = (record: LabRecord): void => {
    attack.run(record.lab);
    ({ taken } = raceOnce(record, race, schedule));
    race.after?.(record.lab);
  };
  const run = attempt(boot, watched(tryIt, onlooker, schedule));
  // There was no other processor to race against: the outcome says nothing.
  const vacuous = schedule.seed === EVERY_MOMENT && schedule.turns === undefined && taken.length === 0;
  if (vacuous && run.verdict === 'blocked')
    return {
      ...run,
      verdict: 'not expressible',
      by: null,
      evidence: "the kernel's work is one step here: no turn lies within it",
    };
  return { ...run, schedule: { seed: schedule.seed, turns: taken } };
}

/** `tryIt`, of which an onlooker is told when it begins and ends. */
function watched(
  tryIt: (record: LabRecord) => void,
  onlooker: Onlooker | undefined,
  schedule?: Schedule,
): (record: LabRecord) => void {
  if (onlooker === undefined) return tryIt;
  return (record) => {
    onlooker.begins(record, schedule);
    try {
      tryIt(record);
    } finally {
      onlooker.ends();
    }
  };
}

function attempt(boot: Boot, tryIt: (record: LabRecord) => void): AttackRun {
  let record: LabRecord | undefined;
  try {
    const booted = boot();
    record = 'snapshot' in booted ? createSnapshotLab(booted) : createLab(booted);
    tryIt(record);
    return { ...judge(record), steps: record.steps };
  } catch (error) {
    if (!(error instanceof NotExpressible) && !(error instanceof BootFailed)) throw error;
    const verdict = error instanceof BootFailed ? 'crashes the guest' : 'not expressible';
    return { verdict, by: null, evidence: error.message, steps: record?.steps ?? [] };
  }
}
