import { firstBehind } from '@heki/physical-memory';
import type { Run } from '../memory/bounded-runs.ts';
import { decodeMemory, type MemoryModel } from '../memory/memory-model.ts';
import type { AuditPage, PageFinding } from './audit-page.ts';

/** A finding with what the map needs of it. */
export interface MappedFinding extends PageFinding {
  /** Its number in the report. */
  readonly index: number;
  readonly runs: readonly Run[];
}

/** What a page shows, ready to be asked. */
export interface ReportModel {
  readonly page: AuditPage;
  readonly findings: readonly MappedFinding[];
  /** `undefined` in a redacted report. */
  readonly memory: MemoryModel | undefined;
}

export function reportModel(page: AuditPage): ReportModel {
  return {
    page,
    findings: page.findings.map((finding, index) => ({
      ...finding,
      index,
      runs: finding.ranges.map(([start, end]) => ({ start, end })),
    })),
    memory: page.memory === null ? undefined : decodeMemory(page.memory),
  };
}

/** The findings that are about frames of `range`, the worst first as in the report. */
export function findingsIn({ findings }: ReportModel, range: Run): MappedFinding[] {
  return findings.filter(({ runs }) => {
    const run = runs[firstBehind(runs, range.start)];
    return run !== undefined && run.start < range.end;
  });
}
