import type { Attacker, RanCode } from '@heki/machine';
import type { VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { type Aims, createAims, type Observed } from '../judge/aims.ts';
import type { Places } from '../kernel/places.ts';
import type { Lab } from './lab.ts';
import type { LabStep, Recorder } from './recorder.ts';

/** What a judge reads after an attack. */
export interface LabRecord {
  readonly lab: Lab;
  readonly steps: readonly LabStep[];
  /** How many steps are over. */
  readonly done: number;
  /** What was reached of what the attack was after. */
  evidence(): string[];
  /** Whether the kernel still does its work. */
  lives(): boolean;
  /** Aims that the attack has named. */
  readonly named: number;
  sync(): void;
}

/** `attacker`, whose code that ran is added to `ran`. */
export function noteRuns(attacker: Attacker, ran: RanCode[]): Attacker {
  return {
    ...attacker,
    run(va) {
      const attempt = attacker.run(va);
      if (attempt.value !== undefined) ran.push(attempt.value);
      return attempt;
    },
  };
}

/** Who looks on at an attack. `judge` does what the kernel does, on the processor `vcpu`, beside the attack and unrecorded. */
export function createObserver({
  judge,
  vcpu,
  runsKernel,
  places: { credentials, alive },
  recorder,
  ...observed
}: Pick<Observed, 'tables' | 'ran' | 'incidents'> & {
  readonly judge: Attacker;
  readonly vcpu: Vcpu;
  /** Whether the kernel has that processor: one that never came out of the trampoline again can still call its functions. */
  readonly runsKernel: () => boolean;
  readonly places: Pick<Places, 'credentials' | 'alive'>;
  readonly recorder: Recorder;
}): { readonly aims: Aims; record(lab: Lab): LabRecord } {
  const call = (va: VirtualAddress): RanCode | undefined => judge.run(va).value;
  const aimed = createAims({ ...observed, hijacked: recorder.hijacked, call });
  return {
    aims: aimed.aims,
    record: (lab) => ({
      lab,
      steps: recorder.steps,
      get done() {
        return recorder.done;
      },
      evidence: aimed.evidence,
      get named() {
        return aimed.named;
      },
      sync: recorder.sync,
      lives() {
        if (vcpu.halted !== undefined || !runsKernel()) return false;
        const { value } = judge.load(credentials, 8);
        return (
          value !== undefined &&
          judge.store(credentials, 8, value).step.outcome === 'done' &&
          call(alive)?.end === 'returned' &&
          aimed.works()
        );
      },
    }),
  };
}
