import type { KernelOutcome } from '@heki/linux';
import type { AttackResult } from '@heki/machine';
import { type Agent, createScheduler } from '@heki/vcpu';
import { attackStep } from './attack-step.ts';
import { FailedDependencyError, ScenarioError } from './error.ts';
import type { Life } from './life.ts';
import { runStep } from './run-step.ts';
import type { Step } from './schema/step-schema.ts';

/** The outcome of a race. */
export interface RaceResult {
  /** Of the work. */
  readonly work: KernelOutcome;
  /** The attack that succeeded, or else the last that had something to attack; `undefined` when none had. */
  readonly attack: (AttackResult & { readonly claimed: boolean }) | undefined;
  /** Turns that the attacker had, up to the one that decided. */
  readonly turns: number;
}

/** Agents that do nothing: the attacker has one turn among so many. */
const IDLE = 15;

/**
 * Has one processor do work, and another one attack between two of its accesses, whenever the seed gives it its turn.
 *
 * @throws {ScenarioError} when the attacker's processor does not run, or runs the kernel's work
 */
export function raceStep(life: Life, step: Step & { do: 'race' }): RaceResult {
  const { machine } = life;
  const number = step.cpu ?? 1;
  const vcpu = machine.vcpus[number];
  if (vcpu === undefined || vcpu === machine.kernel.vcpu || !machine.kernel.onlineCpus.includes(number)) {
    const others = machine.kernel.onlineCpus.filter(
      (online) => machine.vcpus[online] !== machine.kernel.vcpu,
    );
    throw new ScenarioError(
      `race on processor ${number}: expected another one that runs: ${others.join(', ') || 'there is none'}`,
    );
  }
  let attack: RaceResult['attack'];
  let turns = 0;
  const attacker = agent('attacker', () => {
    if (attack?.outcome === 'succeeded') return;
    const tried = attempt(life, step, vcpu);
    if (tried === undefined) return;
    turns++;
    attack = tried;
  });
  const idle = Array.from({ length: IDLE }, (_, index) => agent(`idle ${index}`, () => {}));
  const scheduler = createScheduler({ agents: [attacker, ...idle], seed: step.seed });
  machine.interleave = () => void scheduler.step();
  try {
    return { work: runStep(life, step.work), attack, turns };
  } finally {
    machine.interleave = undefined;
  }
}

/** An attack, if what it is about is there already. */
function attempt(
  life: Life,
  step: Step & { do: 'race' },
  vcpu: Parameters<typeof attackStep>[2],
): RaceResult['attack'] {
  try {
    const result = attackStep(life, step, vcpu);
    return result.outcome === 'not-tried' ? undefined : result;
  } catch (error) {
    if (error instanceof FailedDependencyError || error instanceof ScenarioError) return undefined;
    throw error;
  }
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
