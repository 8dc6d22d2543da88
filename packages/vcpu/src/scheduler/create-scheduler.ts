import { VcpuError } from '../error.ts';
import { Random } from './random.ts';
import type { Agent, ScheduleResult, Scheduler, SchedulerOptions } from './scheduler.ts';

const DEFAULT_STEPS = 1_000_000;

/** An agent that has not finished. */
interface Running {
  readonly agent: Agent;
  readonly index: number;
  /** The machine's count of progress after this agent's latest step. */
  seen: number;
}

class SeededScheduler implements Scheduler {
  readonly #running: Running[];
  readonly #random: Random;
  readonly #planned: readonly number[];
  readonly #onStep: SchedulerOptions['onStep'];
  readonly #schedule: number[] = [];
  #nextPlanned = 0;
  /** Steps of any agent that were not a mere repetition. */
  #progress = 0;

  constructor(options: SchedulerOptions) {
    this.#running = options.agents.map((agent, index) => ({ agent, index, seen: 0 }));
    this.#random = new Random(options.seed);
    this.#planned = options.schedule ?? [];
    this.#onStep = options.onStep;
  }

  step(): boolean {
    const chosen = this.#choose();
    if (chosen === undefined) return false;
    this.#onStep?.(chosen.agent, this.#schedule.length);
    this.#schedule.push(chosen.index);
    const { done, value } = chosen.agent.steps.next(this.#progress !== chosen.seen);
    if (done === true || value !== 'retry') this.#progress++;
    chosen.seen = this.#progress;
    if (done === true) this.#running.splice(this.#running.indexOf(chosen), 1);
    return true;
  }

  run(maxSteps: number = DEFAULT_STEPS): ScheduleResult {
    let left = maxSteps;
    while (left > 0 && this.step()) left--;
    return { end: this.#running.length === 0 ? 'finished' : 'budget', schedule: [...this.#schedule] };
  }

  #choose(): Running | undefined {
    while (this.#nextPlanned < this.#planned.length) {
      const index = this.#planned[this.#nextPlanned++];
      const running = this.#running.find((candidate) => candidate.index === index);
      if (running !== undefined) return running;
    }
    const count = this.#running.length;
    return count === 0 ? undefined : this.#running[this.#random.below(count)];
  }
}

/**
 * Creates a scheduler over `options.agents`.
 *
 * @throws {VcpuError} when the seed is not an integer from 0 to 2^32 - 1, or the schedule names an agent that does not exist
 */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { seed, schedule = [], agents } = options;
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new VcpuError(`seed ${seed}: expected an integer from 0 to 4294967295`);
  }
  for (const [step, index] of schedule.entries()) {
    if (agents[index] === undefined) {
      throw new VcpuError(`step ${step} of the schedule: agent ${index}, expected 0 to ${agents.length - 1}`);
    }
  }
  return new SeededScheduler(options);
}
