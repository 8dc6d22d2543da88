import { Vector, type VmExit } from '@heki/vcpu';
import { describePageFaultCode, PageFaultCode } from '@heki/x86';
import type { AttackOutcome, AttackStep, Defence } from './attack-result.ts';

/** How an attack ended whose deciding instruction was `step`, if completing that instruction is all it takes. */
export function outcomeOf(step: AttackStep): AttackOutcome {
  if (step.withoutMemory && step.denial === undefined) return 'not-tried';
  switch (step.outcome) {
    case 'done':
      return isLeftOut(step) ? outcomeOfLeftOut(step) : 'succeeded';
    case 'exception':
      if (step.exception?.vector === Vector.DF) return 'crashed';
      return isUnmapped(step) ? 'not-tried' : 'blocked';
    case 'livelock':
      return isUnmapped(step) ? 'not-tried' : 'livelock';
    case 'halted':
      return 'crashed';
    case 'absent-table':
      return 'not-tried';
  }
}

/** How an access ended that completed without being made: it was denied, or there was nothing to be changed or run. */
export function outcomeOfLeftOut(step: AttackStep): 'blocked' | 'not-tried' {
  return step.denial === undefined ? 'not-tried' : 'blocked';
}

/** The hypervisor went on behind the instruction: an access by the processor was not made, a register write may have been. */
function isLeftOut({ answered, denial }: AttackStep): boolean {
  if (answered?.action.kind !== 'skip') return false;
  return isSecondLevelExit(answered.exit) || denial !== undefined;
}

/** The guest's own page tables map nothing there: the second level was not consulted. */
function isUnmapped({ exception, injected }: AttackStep): boolean {
  return exception?.vector === Vector.PF && !injected && (exception.errorCode & PageFaultCode.P) === 0;
}

function isSecondLevelExit({ reason }: VmExit): boolean {
  return reason === 'ept-violation' || reason === 'nested-page-fault' || reason === 'ept-misconfiguration';
}

const PAGE_TABLE_RULES: ReadonlySet<string | undefined> = new Set([
  'user-supervisor',
  'read-write',
  'execute-disable',
]);

/**
 * What ended `step`: the processor by itself, or the hypervisor in answer to an exit; `null` when nothing was in the way of the
 * instruction, or unknown.
 */
export function defenceOf(step: AttackStep): Defence | null {
  const { exception, injected, denial, answered, broken } = step;
  if (step.withoutMemory && denial === undefined) return null;
  if (exception !== undefined && !injected) {
    // The processor delivers an EPT violation as #VE by itself (SDM 3C 26.5.7).
    if (exception.vector === Vector.VE) return 'second-level';
    if (isUnmapped(step)) return null;
    return PAGE_TABLE_RULES.has(broken?.rule) ? 'guest-page-tables' : 'processor';
  }
  if (denial?.kind === 'memory') return 'second-level';
  if (denial?.kind === 'register') return /^cr\d$/.test(denial.register) ? 'cr-pin' : 'register-pin';
  if (step.outcome === 'livelock' && exception === undefined) {
    const exit = step.exits.at(-1);
    return exit !== undefined && isSecondLevelExit(exit) ? 'second-level' : 'hypervisor';
  }
  if (answered === undefined || answered.action.kind === 'skip') return null;
  if (answered.action.kind === 'stop') return 'hypervisor';
  if (isSecondLevelExit(answered.exit)) return 'second-level';
  // It carries the write out by the processor's rules, and they refuse it.
  return broken === undefined ? 'hypervisor' : 'processor';
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

/** Why `step` did not come to its end, or had no effect, in half a sentence. */
export function explainStep(step: AttackStep): string {
  const { exception, answered } = step;
  if (step.withoutMemory && step.denial === undefined) return 'the memory map has no memory there';
  if (step.outcome === 'absent-table') return 'a page-table page on the way is not in the snapshot';
  if (step.unmodelled !== undefined) return `the model goes no further: ${step.unmodelled}`;
  if (step.outcome === 'halted') {
    return answered?.action.kind === 'stop'
      ? `the hypervisor stops the machine: ${answered.action.why}`
      : 'the virtual CPU stands still';
  }
  if (isLeftOut(step)) return explainLeftOut(step);
  if (exception === undefined) return 'it exits for ever';
  const text = exceptionText(exception);
  if (isUnmapped(step)) return `nothing is mapped there: ${text}`;
  const retried =
    step.outcome === 'livelock' ? '; the handler finds nothing wrong and tries again, for ever' : '';
  return `${forbids(step)}${text}${because(step)}${retried}`;
}

function explainLeftOut({ denial }: AttackStep): string {
  if (denial === undefined) return 'the memory map has no memory there';
  return denial.kind === 'register'
    ? `the pin of ${denial.register.toUpperCase()} forbids it: the hypervisor leaves the write out`
    : 'the rights in the second level forbid it: the hypervisor leaves the access out';
}

/** Who forbids it, and the exit by which the hypervisor came to it. */
function forbids(step: AttackStep): string {
  const { answered, denial } = step;
  const exit = answered?.exit;
  switch (defenceOf(step)) {
    case 'guest-page-tables':
      return "the guest's page tables forbid it: ";
    case 'second-level':
      if (exit?.reason === 'ept-violation')
        return `EPT forbids it: violation 0x${exit.qualification.toString(16)}, injected as `;
      if (exit?.reason === 'nested-page-fault')
        return `nested paging forbids it: #NPF 0x${exit.info1.toString(16)}, injected as `;
      return 'the second level forbids it: ';
    case 'cr-pin':
    case 'register-pin':
      return `the pin of ${denial?.kind === 'register' ? denial.register.toUpperCase() : 'a register'} forbids it: `;
    case 'hypervisor':
      return 'the hypervisor answers with ';
    default:
      return 'the processor forbids it: ';
  }
}

/** The rule of the processor, when it is that which decided. */
function because(step: AttackStep): string {
  return defenceOf(step) === 'processor' && step.broken !== undefined ? `: ${step.broken.text}` : '';
}
