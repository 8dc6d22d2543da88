import type { BackendEvent, Denial, HypervisorEvent } from '@heki/hypervisor';
import { type Gfn, type PhysicalMemory, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { type Exception, type ExitAction, type Outcome, type Vcpu, Vector, type VmExit } from '@heki/vcpu';
import { type Access, translate, writeCr0, writeCr3, writeCr4 } from '@heki/x86';
import type { TraceEvent } from '../event.ts';
import type { AttackStep, BrokenRule } from './attack-result.ts';

/** What an instruction of an attacker does, as far as the processor's rules look at it. */
export type Deed =
  | { readonly kind: 'access'; readonly va: VirtualAddress; readonly access: Access }
  | { readonly kind: 'write-cr'; readonly cr: 0 | 3 | 4; readonly value: bigint }
  | { readonly kind: 'other' };

/** What a recorder looks at. */
export interface Witness {
  readonly vcpu: Vcpu;
  /** Guest-physical memory, with the page tables that the processor walks. */
  readonly memory: PhysicalMemory<Gfn>;
  /** Subscribes to what the virtual CPU and the hypervisor report; the result ends that. */
  readonly listen: (listener: (event: TraceEvent) => void) => () => void;
}

/** Executes `instruction` and records what it met: only what was reported, and the processor's rules over the memory that it ran on. */
export function recordStep<Value>(
  witness: Witness,
  text: string,
  deed: Deed,
  instruction: () => Outcome<Value>,
): { readonly step: AttackStep; readonly outcome: Outcome<Value> } {
  const exits: VmExit[] = [];
  let answered: AttackStep['answered'];
  let denial: Denial | undefined;
  let injected = false;
  let withoutMemory = false;
  const stop = witness.listen(({ from, event }) => {
    if (from === 'hypervisor' && isDenied(event)) {
      denial = event.verdict === 'allow-once' ? undefined : event.denial;
    }
    if (from !== 'vcpu') return;
    if (event.type === 'exit') exits.push(event.exit);
    else if (event.type === 'entry') answered = answerOf(exits.at(-1), event.action) ?? answered;
    else if (event.type === 'exception') injected = event.injected;
    else if (event.type === 'no-memory') withoutMemory = true;
  });
  let outcome: Outcome<Value>;
  try {
    outcome = instruction();
  } finally {
    stop();
  }
  const ending = endingOf(outcome);
  const { exception } = ending;
  const step: AttackStep = {
    text,
    outcome: ending.outcome,
    exception,
    injected: exception !== undefined && injected,
    exits: ending.exits ?? exits,
    answered,
    denial,
    broken: exception === undefined ? undefined : brokenRule(witness, deed, exception),
    withoutMemory,
    ...unmodelledOf(outcome),
    contentsAbsent: outcome.kind === 'absent-table' || (outcome.kind === 'done' && outcome.absent === true),
  };
  return { step, outcome };
}

const unmodelledOf = (outcome: Outcome<unknown>): Pick<AttackStep, 'unmodelled'> =>
  outcome.kind === 'stopped' && outcome.unmodelled === true ? { unmodelled: outcome.why } : {};

function isDenied(event: BackendEvent): event is Extract<HypervisorEvent, { type: 'denied' }> {
  return event.type === 'denied';
}

function answerOf(exit: VmExit | undefined, action: ExitAction): AttackStep['answered'] {
  return exit === undefined || action.kind === 'resume' ? undefined : { exit, action };
}

/** How an instruction ended, in the words of a step. */
function endingOf(outcome: Outcome<unknown>): Pick<AttackStep, 'outcome' | 'exception'> & {
  readonly exits?: readonly VmExit[];
} {
  switch (outcome.kind) {
    case 'done':
    case 'absent-table':
      return { outcome: outcome.kind, exception: undefined };
    case 'exception': {
      const { vector, errorCode, cr2 } = outcome;
      return {
        outcome: 'exception',
        exception: { vector, errorCode, cr2 },
      };
    }
    case 'livelock': {
      const turns = outcome.cycle;
      return {
        outcome: 'livelock',
        exception: turns.flatMap((turn) => (turn.kind === 'exception' ? [turn.exception] : []))[0],
        exits: turns.flatMap((turn) => (turn.kind === 'exit' ? [turn.exit] : [])),
      };
    }
    default:
      return { outcome: 'halted', exception: undefined };
  }
}

const RULES = { 0: writeCr0, 3: writeCr3, 4: writeCr4 } as const;

/**
 * The rule of the processor that explains `exception`, found by the same rules over the tables and registers as the instruction left
 * them, which is as it found them. `undefined` when they have nothing against it.
 */
function brokenRule({ vcpu, memory }: Witness, deed: Deed, exception: Exception): BrokenRule | undefined {
  const { registers, processor } = vcpu;
  if (deed.kind === 'write-cr') {
    const write = RULES[deed.cr](registers, deed.value, processor);
    return write.kind === 'ok' ? undefined : { rule: undefined, text: write.reason };
  }
  if (deed.kind !== 'access' || isElsewhere(exception, deed.va)) return undefined;
  const { outcome } = translate(registers, memory, deed.va, deed.access, processor);
  if (outcome.kind === 'general-protection') return { rule: undefined, text: ADDRESS_RULES[outcome.reason] };
  return outcome.kind === 'page-fault' ? outcome.causes[0] : undefined;
}

const ADDRESS_RULES = {
  'non-canonical': 'the address is not canonical',
  lass: 'LASS: supervisor access to a user address',
} as const;

/** A fault on another page: met by the delivery of an exception. */
function isElsewhere({ vector, cr2 }: Exception, va: VirtualAddress): boolean {
  return vector === Vector.PF && cr2 !== undefined && virtualFrameOf(cr2) !== virtualFrameOf(va);
}
