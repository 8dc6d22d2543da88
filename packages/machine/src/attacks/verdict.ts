import { Vector, type VmExit } from '@heki/vcpu';
import { describePageFaultCode } from '@heki/x86';
import type { AttackOutcome, Defence } from './attack.ts';
import type { AttackStep } from './attack-step.ts';

/** How an attack ended whose deciding instruction was `step`, if completing that instruction is all it takes. */
export function outcomeOf(step: AttackStep): AttackOutcome {
  switch (step.outcome) {
    case 'done':
      return 'succeeded';
    case 'exception':
      return step.exception?.vector === Vector.DF ? 'crashed' : 'blocked';
    case 'livelock':
      return 'livelock';
    case 'halted':
      return 'crashed';
    case 'absent-table':
      return 'not-tried';
  }
}

function isSecondLevelExit(exit: VmExit): boolean {
  return exit.reason === 'ept-violation' || exit.reason === 'nested-page-fault';
}

/** The exit that the hypervisor answered with the exception of `step`; `undefined` when the processor raised it itself. */
export function denyingExit(step: AttackStep): VmExit | undefined {
  return step.injected ? step.exits.at(-1) : undefined;
}

/** What raised the exception of `step`: the processor by itself, or the hypervisor in answer to an exit. */
export function defenceOf(step: AttackStep): Defence | null {
  if (step.exception === undefined) return null;
  const exit = denyingExit(step);
  if (exit === undefined) return step.exception.vector === Vector.PF ? 'guest-page-tables' : null;
  if (isSecondLevelExit(exit)) return 'second-level';
  return exit.reason === 'mov-to-cr' ? 'cr-pin' : null;
}

const EXCEPTION_NAMES = new Map(
  Object.entries(Vector).map(([name, vector]): [number, string] => [vector, `#${name}`]),
);

/** The exception of a step as people write it: `#PF 0x3 (P W)`, `#GP(0)`. */
export function exceptionText(exception: { readonly vector: number; readonly errorCode: number }): string {
  const name = EXCEPTION_NAMES.get(exception.vector) ?? `vector ${exception.vector}`;
  return exception.vector === Vector.PF
    ? `${name} ${describePageFaultCode(exception.errorCode)}`
    : `${name}(${exception.errorCode.toString(16)})`;
}

/** Why `step` did not complete, in half a sentence. */
export function explainStep(step: AttackStep): string {
  const { exception } = step;
  if (step.outcome === 'absent-table') return 'a page-table page on the way is not in the snapshot';
  if (step.outcome === 'halted') return 'the virtual CPU stands still';
  if (exception === undefined) return 'it exits for ever';
  const exit = denyingExit(step);
  const text = exceptionText(exception);
  const retried =
    step.outcome === 'livelock' ? '; the handler finds nothing wrong and tries again, for ever' : '';
  switch (exit?.reason) {
    case undefined:
      return exception.vector === Vector.PF
        ? `the guest's page tables forbid it: ${text}${retried}`
        : `the processor forbids it: ${text}${retried}`;
    case 'ept-violation':
      return `EPT forbids it: violation 0x${exit.qualification.toString(16)}, injected as ${text}${retried}`;
    case 'nested-page-fault':
      return `nested paging forbids it: #NPF 0x${exit.info1.toString(16)}, injected as ${text}${retried}`;
    case 'mov-to-cr':
      return `the pin of CR${exit.cr} forbids it: ${text}${retried}`;
    default:
      return `the hypervisor answers with ${text}${retried}`;
  }
}
