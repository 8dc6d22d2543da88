import { HypervisorError, type OtherWriteResult } from '@heki/hypervisor';
import type { KernelOutcome } from '@heki/linux';
import {
  type Attacker,
  type AttackStep,
  type Defence,
  defenceOf,
  exceptionText,
  explainStep,
} from '@heki/machine';
import { type Gpa, hex, type VirtualAddress } from '@heki/physical-memory';
import type { Outcome } from '@heki/vcpu';

/** One thing that was done in an attack, and its outcome. */
export interface LabStep {
  readonly text: string;
  /** `refused`: somebody answered with an error. `faulted`: an exception ended it. `unmodelled`: a processor would go on, and the model does not. */
  readonly result: 'done' | 'refused' | 'faulted' | 'livelock' | 'died' | 'unmapped' | 'unmodelled';
  /** In words, for what is not `done`. */
  readonly detail: string | undefined;
  /** What stood in the way, as the processor and the hypervisor told it. */
  readonly by: Defence | 'refusal' | 'kernel fault' | undefined;
  /** It only looked: a load, a walk. */
  readonly looks: boolean;
}

/** Records what is done, in order. */
export interface Recorder {
  readonly steps: readonly LabStep[];
  /** How many steps there will be of what was done so far: those of attackers come into {@link steps} later. */
  readonly done: number;
  /** Addresses that functions of the kernel were led to. */
  readonly hijacked: VirtualAddress[];
  kernel<Value>(what: string, work: () => KernelOutcome<Value>): Value | undefined;
  request(what: string, call: () => number): number;
  store(who: string, gpa: Gpa, store: () => OtherWriteResult): void;
  does(what: string, action: () => void): void;
  /** What the hypervisor is asked to do, and why it does not: `undefined` when it does. */
  asks(what: string, ask: () => string | undefined): void;
  /** Takes over what attackers have done since. */
  sync(): void;
}

export function createRecorder(attackers: () => readonly Attacker[]): Recorder {
  const steps: LabStep[] = [];
  const hijacked: VirtualAddress[] = [];
  const taken = new Map<Attacker, number>();

  function sync(): void {
    for (const attacker of attackers()) {
      const seen = taken.get(attacker) ?? 0;
      for (const step of attacker.steps.slice(seen)) steps.push(stepOf(step));
      taken.set(attacker, attacker.steps.length);
    }
  }

  const push = (step: Partial<LabStep> & Pick<LabStep, 'text'>): void => {
    sync();
    steps.push({ result: 'done', detail: undefined, by: undefined, looks: false, ...step });
  };

  return {
    steps,
    get done() {
      return attackers().reduce(
        (sum, attacker) => sum + attacker.steps.length - (taken.get(attacker) ?? 0),
        steps.length,
      );
    },
    hijacked,
    sync,
    kernel(text, work) {
      const outcome = work();
      switch (outcome.kind) {
        case 'done':
          push({ text });
          return outcome.value;
        case 'error':
          push({ text, result: 'refused', by: 'refusal', detail: `${outcome.errno}: ${outcome.why}` });
          return undefined;
        case 'hijacked':
          hijacked.push(outcome.address);
          push({ text, detail: `the kernel goes on at ${hex(outcome.address)}` });
          return undefined;
        case 'oops':
          push({ text, ...oops(outcome.outcome, `${outcome.access} at ${hex(outcome.address)}`) });
          return undefined;
      }
    },
    request(text, call) {
      const answer = call();
      if (answer >= 0) push({ text: `${text}: ${answer}` });
      else push({ text, result: 'refused', by: 'refusal', detail: `answered with ${answer}` });
      return answer;
    },
    store(who, gpa, store) {
      const result = store();
      const text = `${who} stores at guest-physical ${hex(gpa)}`;
      if (result.ok) push({ text });
      else
        push({ text, result: 'refused', by: 'second-level', detail: `${result.why} at ${hex(result.at)}` });
    },
    does(text, action) {
      try {
        action();
        push({ text });
      } catch (error) {
        if (!(error instanceof HypervisorError)) throw error;
        push({ text, result: 'refused', by: 'refusal', detail: error.message });
      }
    },
    asks(text, ask) {
      const why = ask();
      push(why === undefined ? { text } : { text, result: 'refused', by: 'refusal', detail: why });
    },
  };
}

function oops(
  outcome: Exclude<Outcome, { kind: 'done' }>,
  where: string,
): Pick<LabStep, 'result' | 'detail' | 'by'> {
  switch (outcome.kind) {
    case 'exception':
      return { result: 'faulted', by: 'kernel fault', detail: `${where}: ${exceptionText(outcome)}` };
    case 'livelock':
      return { result: 'livelock', by: 'kernel fault', detail: `${where} is tried again for ever` };
    default:
      return { result: 'died', by: 'kernel fault', detail: `${where}: ${outcome.kind}` };
  }
}

function stepOf(step: AttackStep): LabStep {
  const { text, outcome, exception } = step;
  const looks = /^(load|mov from|rdmsr|invlpg)/.test(text);
  const by = defenceOf(step) ?? undefined;
  if (outcome === 'done' && by === undefined && !step.withoutMemory) {
    return { text, result: 'done', detail: undefined, by: undefined, looks };
  }
  if (outcome === 'done' && by === undefined) {
    return { text, result: 'unmapped', detail: explainStep(step), by, looks };
  }
  const result =
    step.unmodelled !== undefined
      ? 'unmodelled'
      : outcome === 'livelock'
        ? 'livelock'
        : outcome === 'halted' || exception?.vector === 8
          ? 'died'
          : by === undefined
            ? 'unmapped'
            : 'faulted';
  return { text, result, detail: explainStep(step), by, looks };
}
