import type { AttackResult } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import { processorJson } from '../assumed-processor.ts';
import { hypervisorWarnings } from '../hypervisors.ts';
import { placeJson } from '../names/place-text.ts';
import { tablesJson } from '../snapshot.ts';
import { claimedBy } from '../verdict/claimed-by.ts';
import { notInForce } from '../verdict/refusal.ts';
import { verdictJson } from '../verdict/verdict.ts';
import { warningsJson } from '../warning.ts';
import { attackedBytesJson } from './attacked-bytes.ts';
import { crashKernelJson } from './crash-kernel.ts';
import { outsideDirectMapJson } from './outside-direct-map.ts';
import { assumptions, protectVerdict, uncovered } from './protect-verdict.ts';
import type { ProtectReport, ReportedContents } from './report.ts';

function attackJson(result: AttackResult, { bytes }: ReportedContents): unknown {
  const { outcome, by, decisive, reason } = result;
  const exception = decisive?.exception;
  const attacked = bytes.get(result);
  return {
    outcome,
    by,
    errorCode: exception === undefined ? null : hex(exception.errorCode),
    reason,
    bytes: attacked === undefined ? null : attackedBytesJson(attacked),
  };
}

function targetJson({ target }: AttackResult, { names }: ReportedContents): unknown {
  return target === undefined ? null : { va: hex(target), place: placeJson(names.kernel.at(target)) };
}

/** The report as the object that `heki protect --json` prints. */
export function protectJson(report: ProtectReport, contents: ReportedContents): object {
  const { subject, early } = report;
  const verdict = protectVerdict(report);
  return {
    snapshot: subject.name,
    image: contents.names.image?.file ?? null,
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
    outsideDirectMap: outsideDirectMapJson(report.outsideDirectMap, contents.names.kernel),
    crashKernel: crashKernelJson(subject, report.crashKernel),
    attacks: report.attacks.map((attack) => ({
      name: attack.with.name,
      target: targetJson(attack.with.target === undefined ? attack.without : attack.with, contents),
      without: attackJson(attack.without, contents),
      with: attackJson(attack.with, contents),
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
