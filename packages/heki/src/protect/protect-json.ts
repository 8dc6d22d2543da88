import type { AttackResult } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import { processorJson } from '../assumed-processor.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import { tablesJson } from '../snapshot.ts';
import { claimedBy } from '../verdict/claimed-by.ts';
import { notInForce } from '../verdict/refusal.ts';
import { verdictJson } from '../verdict/verdict.ts';
import { warningsJson } from '../warning.ts';
import { crashKernelJson } from './crash-kernel.ts';
import { outsideDirectMapJson } from './outside-direct-map.ts';
import { assumptions, protectVerdict, uncovered } from './protect-verdict.ts';
import type { ProtectReport } from './report.ts';

function attackJson({ outcome, by, decisive, reason }: AttackResult): unknown {
  const exception = decisive?.exception;
  return { outcome, by, errorCode: exception === undefined ? null : hex(exception.errorCode), reason };
}

/** The report as the object that `heki protect --json` prints. */
export function protectJson(report: ProtectReport): object {
  const { subject, early } = report;
  const verdict = protectVerdict(report);
  return {
    snapshot: subject.name,
    kernel: subject.kernel,
    hypervisor: report.backend.name,
    profile: report.profile,
    defects: report.defects,
    secureKernel: report.secureKernel,
    mbec: report.mbec,
    tables: tablesJson(subject.tables),
    processor: processorJson(subject.processor),
    memoryMap: {
      from: subject.memoryMapFrom ?? null,
      ramPages: subject.memoryMap.ramFrames,
      leftOut: subject.leftOut.map(({ name, bytes }) => ({ name, bytes })),
    },
    earlyInit:
      early.outcome === 'counting' ? { leaves: early.leaves, pages: early.pages } : { leaves: 0, pages: 0 },
    controlRegisters: { cr0: hex(report.pinned.cr0), cr4: hex(report.pinned.cr4) },
    hypercalls: report.hypercalls.map(({ number, listPages, result, why }) => ({
      nr: number ?? null,
      listPages: listPages.map((ranges) =>
        ranges.map(({ start, end, permissions, immutable }) => ({
          pa: hex(start * 4096),
          epa: hex(end * 4096),
          permissions,
          immutable,
        })),
      ),
      result,
      refused: why,
    })),
    pages: Object.fromEntries([...report.pages].map(([permissions, { pages }]) => [permissions, pages])),
    outsideDirectMap: outsideDirectMapJson(report.outsideDirectMap),
    crashKernel: crashKernelJson(subject, report.crashKernel),
    attacks: report.attacks.map((attack) => ({
      name: attack.with.name,
      without: attackJson(attack.without),
      with: attackJson(attack.with),
      standing: attack.standing,
      claimed: attack.claimed,
      claimedBy: claimedBy(attack.attack),
    })),
    verdict: verdictJson(verdict),
    warnings: warningsJson([
      ...(verdict.inForce ? [] : [notInForce(verdict.refusal)]),
      ...hypervisorWarnings(report.backend),
      ...report.warnings,
    ]),
    assumed: warningsJson(assumptions(report)),
    notCovered: warningsJson(uncovered(report)),
    log: report.log,
    trace: report.trace,
  };
}
