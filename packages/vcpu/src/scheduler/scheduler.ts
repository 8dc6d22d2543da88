/**
 * An agent of a machine: a virtual CPU's kernel thread, the VMM, a device. Each `yield` is the end of a step: `retry` when
 * the step only tried the same instruction again, nothing when it made progress. It is resumed with `true` when another
 * agent made progress since.
 */
export interface Agent {
  readonly name: string;
  readonly steps: Iterator<'retry' | undefined, unknown, boolean | undefined>;
}

/** What drives the choice of the next agent. */
export interface SchedulerOptions {
  readonly agents: readonly Agent[];
  /** Seed of the choices. The same seed and the same agents give the same schedule. */
  readonly seed: number;
  /** Choices to make first, as indices of `agents`: the `schedule` of an earlier run replays it. A finished agent is passed over. */
  readonly schedule?: readonly number[] | undefined;
  /** Called before every step with the agent that takes it. */
  readonly onStep?: (agent: Agent, step: number) => void;
}

/** How a run of a scheduler ended. */
export interface ScheduleResult {
  /** `finished`: every agent came to its end. `budget`: `maxSteps` were taken. */
  readonly end: 'finished' | 'budget';
  /** The index of the agent of every step taken so far. */
  readonly schedule: readonly number[];
}

/** Interleaves the steps of agents, one at a time, in an order that its seed decides. */
export interface Scheduler {
  /** Takes one step. `false` when every agent has finished. */
  step(): boolean;
  /** Takes steps until every agent has finished, at most `maxSteps` (default 1,000,000). */
  run(maxSteps?: number): ScheduleResult;
}
