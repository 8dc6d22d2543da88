import { ATTACKS, switchHekiOff } from '@heki/machine';
import type { VirtualAddress } from '@heki/physical-memory';
import type { StepResult } from '@heki/scenario';
import { hypervisorNamed, hypervisorWarnings } from '../hypervisors.ts';
import { type ClaimedBy, claimedBy } from '../verdict/claimed-by.ts';
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
    heki: { early: hekiInit.early?.outcome ?? null, late: hekiInit.late?.outcome ?? null },
    log,
    pageLists,
    steps: steps.map(stepJson),
    notTaken,
    expectedRights,
    classes: classes.map((one) => ({
      ...one,
      mappings: Object.fromEntries(one.mappings),
      granted: Object.fromEntries(one.granted),
    })),
    expected,
    verdict: verdictJson(report.verdict),
    warnings: warningsJson([...hypervisorWarnings(hypervisorNamed(settings.hypervisor)), ...report.warnings]),
    assumed: warningsJson(BOOT_ASSUMPTIONS),
    notCovered: warningsJson(bootUncovered(report)),
  };
}

/** A step; what stopped it, and who claims to, only for an attack. */
function stepJson({ by, claimed, ...result }: StepResult): object {
  if (result.step.do !== 'attack') return result;
  return { ...result, by, claimed, claimedBy: claimedByOf(result.step.how) };
}

/** By name: where Heki's variables are plays no part in who claims what. */
const ALL_ATTACKS = [...ATTACKS, switchHekiOff(0n as VirtualAddress)];

function claimedByOf(name: string): ClaimedBy {
  return claimedBy({ claim: ALL_ATTACKS.find((attack) => attack.name === name)?.claim });
}
