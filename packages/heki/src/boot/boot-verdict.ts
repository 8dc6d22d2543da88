import type { LinuxMachine } from '@heki/machine';
import {
  actionText,
  expectedVerdict,
  isAttack,
  isInForce,
  type ScenarioResult,
  type StepResult,
} from '@heki/scenario';
import type { Finding, Strictness } from '../verdict/finding.ts';
import { initRefusal, notInForce, type Refusal } from '../verdict/refusal.ts';
import { rightsFindings, rightsWarnings } from '../verdict/rights-warnings.ts';
import type { Verdict } from '../verdict/verdict.ts';
import type { Warning } from '../warning.ts';

/** Outcomes of early init that were asked for: a kernel or a hypervisor without Heki. */
const WANTED: ReadonlySet<string> = new Set(['disabled', 'no-hypervisor']);

/** The outcome of a kernel's life, for the exit code and its readers. */
export function bootVerdict(machine: LinuxMachine, result: ScenarioResult, strictness: Strictness): Verdict {
  const inForce = isInForce(machine);
  const { early, late, seal } = machine.kernel.hekiInit;
  const refusal = early === undefined || late === undefined ? undefined : initRefusal(early, late);
  return { ...strictness, inForce, refusal, findings: findings(result, inForce, { refusal, seal }) };
}

function findings(
  result: ScenarioResult,
  inForce: boolean,
  { refusal, seal }: { readonly refusal: Refusal | undefined; readonly seal: number | undefined },
): Finding[] {
  const { boot, bootReason, steps, expectedRights, rights } = result;
  return [
    ...(refusal === undefined || WANTED.has(refusal.outcome)
      ? []
      : [{ id: 'refused', message: refusal.message } satisfies Finding]),
    ...(seal === undefined || seal > 0
      ? []
      : [{ id: 'refused', message: `the kernel's code could not be sealed: ${seal}` } satisfies Finding]),
    ...(boot === 'works'
      ? []
      : [{ id: 'unexpected', message: `boot ends: ${bootReason}` } satisfies Finding]),
    ...steps.flatMap(stepFindings),
    ...expectedRights
      .filter(({ expected }) => !expected)
      .map(({ of, expects, granted, reason }): Finding => {
        const found = reason ?? `${of}: ${Object.keys(granted).join(', ')} is granted`;
        return { id: 'unexpected', message: `${found}, and the scenario expects: ${expects}` };
      }),
    ...(inForce && rights !== undefined ? rightsFindings(rights) : []),
  ];
}

/** What a step comes to: a claim that is not kept, whatever the scenario expects; else what its author did not expect. */
function stepFindings({ step, verdict, claimed, expected }: StepResult): Finding[] {
  if (isAttack(step) && verdict === 'works') {
    const message = `this attack succeeds, and the machine claims to stop it: ${actionText(step)}`;
    if (claimed) return [{ id: 'claimed-attack-succeeded', message }];
    // No hypervisor claims to stop it, and the scenario does not expect it to be stopped.
    if (step.expect === undefined) return [];
  }
  if (expected) return [];
  const message = `${actionText(step)}: ${verdict}, and the scenario expects: ${expectedVerdict(step)}`;
  return [{ id: 'unexpected', message }];
}

/** What a reader must know of the rights that the kernel's pages have in the end. */
export function bootWarnings(
  machine: LinuxMachine,
  { rights }: ScenarioResult,
  { inForce, refusal }: Pick<Verdict, 'inForce' | 'refusal'>,
): Warning[] {
  const { kernel, memory } = machine;
  const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
  return [
    ...(inForce ? [] : [notInForce(refusal)]),
    ...(rights === undefined ? [] : rightsWarnings(rights, { tables, inForce })),
  ];
}

/** What was assumed, because no option says otherwise. */
export const BOOT_ASSUMPTIONS: readonly Warning[] = [
  { id: 'kernel-config', message: 'the kernel is built for Heki: no KASLR, no jump labels' },
];

/** What the result does not speak about. */
export function bootUncovered({ rights }: ScenarioResult): Warning[] {
  if (rights?.sampled !== true) return [];
  return [SAMPLED];
}

/** Of much memory not every page is looked at. */
const SAMPLED: Warning = {
  id: 'sampled',
  message: 'rights were read back of one page in each stretch of equal mappings within 2 MiB',
};
