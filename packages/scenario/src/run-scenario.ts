import { HypervisorError } from '@heki/hypervisor';
import { type KernelOutcome, LinuxError } from '@heki/linux';
import {
  type AttackOutcome,
  type Defence,
  exceptionText,
  type LinuxMachine,
  MachineError,
  type RightsComparison,
} from '@heki/machine';
import { attackStep } from './attack-step.ts';
import type { ComposedScenario } from './composed-scenario.ts';
import { FailedDependencyError, ScenarioError } from './error.ts';
import { checkRights, type RightsVerdict } from './expect-rights.ts';
import { failHypercall, saveAndRestore } from './hypervisor-steps.ts';
import { beginLife, type Life } from './life.ts';
import { grantedPages, type PageClass } from './page-classes.ts';
import { type RaceResult, raceStep } from './race-step.ts';
import { runStep } from './run-step.ts';
import type { Step } from './schema/step-schema.ts';

/** The outcome of a step. */
export type StepVerdict =
  | 'works'
  /** The kernel's function returned an error. */
  | 'error'
  /** An attack had no effect. */
  | 'blocked'
  /** What an attack is about does not exist: it is neither blocked nor did it work. */
  | 'not-tried'
  /** The step asks for what there is not in this life, by the scenario's own mistake: nothing was done. */
  | 'invalid'
  /** An access did not complete: the kernel oopses, hangs or stands still. Or it runs what somebody else has led it to. */
  | 'oops';

/** A step and its outcome; `error` also when it is about something that an earlier step could not make. */
export interface StepResult {
  readonly step: Step;
  readonly verdict: StepVerdict;
  /** In words, for what does not work, and for attacks. */
  readonly reason: string | undefined;
  /** What stopped an attack, as the processor and the hypervisor told it; `null` for all else. */
  readonly by: Defence | null;
  /** Of an attack: whether the machine, as it was then, claims to stop it. */
  readonly claimed: boolean;
  /** The verdict is what the step expects; by default that it works, and of an attack that it does not. */
  readonly expected: boolean;
}

/** A life, from boot to its end. */
export interface ScenarioResult {
  readonly boot: StepVerdict;
  readonly bootReason: string | undefined;
  /** Up to the first that oopses, or that is invalid. */
  readonly steps: readonly StepResult[];
  /** Steps of boot and after it that were not taken any more. */
  readonly notTaken: readonly Step[];
  /** In the end; empty when boot failed. */
  readonly classes: readonly PageClass[];
  /** What all memory is granted beside what the mappings allow, in the end; `undefined` when boot failed. */
  readonly rights: RightsComparison | undefined;
  /** What the scenario expects of rights, beside what is granted; empty when boot failed. */
  readonly expectedRights: readonly RightsVerdict[];
  /** Boot, every step and the rights in the end came out as expected. */
  readonly expected: boolean;
}

/**
 * Boots the kernel of `machine` and takes the steps of a scenario, to the first that the kernel does not survive, or that is invalid.
 *
 * @param onStep called before each step with the number of those that are over
 */
export function runScenario(
  machine: LinuxMachine,
  {
    initcalls = [],
    steps,
    expectRights = [],
    attacks,
  }: Pick<ComposedScenario, 'initcalls' | 'steps' | 'expectRights' | 'attacks'>,
  onStep?: (step: Step, index: number) => void,
): ScenarioResult {
  const { kernel } = machine;
  const life = beginLife(machine, attacks);
  const results: StepResult[] = [];
  let boot = kernel.boot({ before: 'free_initmem' });
  if (boot.kind === 'done') {
    results.push(...runSteps(life, initcalls, onStep));
    if (isAlive(results)) boot = kernel.boot();
  }
  if (boot.kind !== 'done') {
    return {
      boot: verdictOf(boot),
      bootReason: reasonOf(boot),
      steps: results,
      notTaken: [...initcalls, ...steps].slice(results.length),
      classes: [],
      expectedRights: [],
      rights: undefined,
      expected: false,
    };
  }
  if (goesOn(results)) {
    results.push(...runSteps(life, steps, (step, index) => onStep?.(step, initcalls.length + index)));
  }
  const grant = grantedPages(life);
  const expectedRights = checkRights(life, grant.classes, expectRights);
  return {
    boot: 'works',
    bootReason: undefined,
    steps: results,
    notTaken: [...initcalls, ...steps].slice(results.length),
    ...grant,
    expectedRights,
    expected: [...results, ...expectedRights].every(({ expected }) => expected),
  };
}

const isAlive = (results: readonly StepResult[]): boolean => results.at(-1)?.verdict !== 'oops';

/** The kernel lives, and the scenario makes sense so far. */
const goesOn = (results: readonly StepResult[]): boolean =>
  isAlive(results) && results.at(-1)?.verdict !== 'invalid';

/** Takes `steps` in a life that goes on, to the first that the kernel does not survive, or that is invalid. */
export function runSteps(
  life: Life,
  steps: readonly Step[],
  onStep?: (step: Step, index: number) => void,
): StepResult[] {
  const results: StepResult[] = [];
  for (const [index, step] of steps.entries()) {
    onStep?.(step, index);
    const taken = take(life, step);
    results.push({ step, ...taken, expected: isExpected(step, taken.verdict) });
    if (!goesOn(results)) break;
  }
  return results;
}

/** The outcome that is expected of a step. */
export function expectedVerdict(step: Step): StepVerdict {
  return step.expect ?? (isAttack(step) ? 'blocked' : 'works');
}

/** Whether somebody attacks in a step: then it is right that it does not work. */
export function isAttack(step: Step): step is Step & { do: 'attack' | 'race' } {
  return 'how' in step;
}

/** An attack that had nothing to attack is not a finding, unless the step says in so many words what it expects. */
function isExpected(step: Step, verdict: StepVerdict): boolean {
  return verdict === expectedVerdict(step) || (verdict === 'not-tried' && step.expect === undefined);
}

type Taken = Pick<StepResult, 'verdict' | 'reason' | 'by' | 'claimed'>;

function take(life: Life, step: Step): Taken {
  try {
    switch (step.do) {
      case 'attack':
        return onCpu(life, step, () => ofAttack(attackStep(life, step)));
      case 'race':
        return ofRace(raceStep(life, step));
      case 'fail-hypercall':
        return ofWork(failHypercall(life, step.call ?? 1, step.error));
      case 'save-and-restore':
        return ofWork(saveAndRestore(life));
      default:
        return onCpu(life, step, () => ofWork(runStep(life, step)));
    }
  } catch (error) {
    if (error instanceof FailedDependencyError)
      return { verdict: 'error', reason: error.message, by: null, claimed: false };
    if (MISUSE.some((kind) => error instanceof kind) && error instanceof Error)
      return { verdict: 'invalid', reason: error.message, by: null, claimed: false };
    throw error;
  }
}

/** Takes a step on the processor that it names. */
function onCpu({ machine: { kernel } }: Life, step: Step, take: () => Taken): Taken {
  if (step.do === 'cpu-up' || step.do === 'cpu-down' || !('cpu' in step) || step.cpu === undefined)
    return take();
  const outcome = kernel.onCpu(step.cpu, take);
  return outcome.kind === 'done' ? outcome.value : ofWork(outcome);
}

function ofWork(outcome: KernelOutcome<unknown>): Taken {
  return { verdict: verdictOf(outcome), reason: reasonOf(outcome), by: null, claimed: false };
}

function ofAttack({ outcome, reason, by, claimed }: ReturnType<typeof attackStep>): Taken {
  return { verdict: VERDICTS[outcome], reason, by, claimed };
}

/** Work that fails decides; else the attack does. */
function ofRace({ work, attack, turns }: RaceResult): Taken {
  if (work.kind !== 'done') return ofWork(work);
  if (attack === undefined) {
    return { verdict: 'not-tried', reason: 'the attacker had nothing to attack', by: null, claimed: false };
  }
  const taken = ofAttack(attack);
  const when = attack.outcome === 'succeeded' ? `at attempt ${turns}` : `in each of ${turns} attempts`;
  return { ...taken, reason: `${when}: ${taken.reason}` };
}

/** What the packages throw when they are asked for what cannot be. */
const MISUSE = [ScenarioError, LinuxError, MachineError, HypervisorError];

const VERDICTS: Readonly<Record<AttackOutcome, StepVerdict>> = {
  succeeded: 'works',
  blocked: 'blocked',
  livelock: 'blocked',
  crashed: 'oops',
  'not-tried': 'not-tried',
};

function verdictOf(outcome: KernelOutcome<unknown>): StepVerdict {
  if (outcome.kind === 'done') return 'works';
  return outcome.kind === 'error' ? 'error' : 'oops';
}

function reasonOf(outcome: KernelOutcome<unknown>): string | undefined {
  switch (outcome.kind) {
    case 'done':
      return undefined;
    case 'error':
      return `${outcome.errno}: ${outcome.why}`;
    case 'hijacked':
      return `the kernel was led to 0x${outcome.address.toString(16)}`;
    case 'oops': {
      const { access, address, outcome: met } = outcome;
      const what = `${access} at 0x${address.toString(16)}`;
      switch (met.kind) {
        case 'exception':
          return `${what}: ${exceptionText({ vector: met.vector, errorCode: met.errorCode ?? 0 })}`;
        case 'livelock':
          return `${what}: the same fault again and again`;
        case 'stopped':
          return `${what}: the virtual machine stops: ${met.why}`;
        default:
          return `${what}: ${met.kind}`;
      }
    }
  }
}
