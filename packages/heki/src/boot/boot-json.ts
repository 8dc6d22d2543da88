import { ATTACKS, type Attack } from '@heki/machine';
import { isAttack, type StepResult } from '@heki/scenario';
import { hypervisorWarnings } from '../hypervisors.ts';
import { claimedBy } from '../verdict/claimed-by.ts';
import { verdictJson } from '../verdict/verdict.ts';
import { warningsJson } from '../warning.ts';
import type { BootReport } from './boot-text.ts';
import { BOOT_ASSUMPTIONS, bootUncovered } from './boot-verdict.ts';

/** The report as the object that `heki boot --json` prints. */
export function bootJson(report: BootReport): object {
  const { boot, bootReason, steps, classes, settings, kernel, log, pageLists, expected, hekiInit } = report;
  const { notTaken, expectedRights } = report;
  return {
    kernel,
    machine: settings,
    boot,
    reason: bootReason,
    heki: {
      early: hekiInit.early?.outcome ?? null,
      late: hekiInit.late?.outcome ?? null,
      seal: hekiInit.seal ?? null,
    },
    log,
    pageLists,
    steps: steps.map((step) => stepJson(step, report.attacks)),
    notTaken,
    expectedRights,
    classes: classes.map((one) => ({
      ...one,
      mappings: Object.fromEntries(one.mappings),
      granted: Object.fromEntries(one.granted),
    })),
    expected,
    verdict: verdictJson(report.verdict),
    warnings: warningsJson([...hypervisorWarnings(report.backend), ...report.warnings]),
    assumed: warningsJson(BOOT_ASSUMPTIONS),
    notCovered: warningsJson(bootUncovered(report)),
  };
}

/** A step; what stopped it, and who claims to, only for an attack. */
function stepJson({ by, claimed, ...result }: StepResult, own: readonly Attack[]): object {
  const { step } = result;
  if (!isAttack(step)) return result;
  const { how } = step;
  const attack = [...ATTACKS, ...own].find(({ name }) => name === how);
  return { ...result, by, claimed, claimedBy: claimedBy({ claim: attack?.claim }) };
}
