import { hex } from '@heki/physical-memory';
import type { ExtractReport } from './extract-report.ts';

/** The report as the object that `heki extract --json` prints. */
export function extractJson(report: ExtractReport): unknown {
  const { extract } = report;
  return {
    snapshot: report.source,
    core: report.core ?? null,
    sidecar: report.sidecar ?? null,
    bytes: report.bytes,
    tablePages: extract.tablePages,
    absentTables: extract.absentTables,
    roots: extract.roots.map(({ frame, levels, from, cpu }) => ({
      address: hex(frame * 4096),
      levels,
      from,
      cpu: cpu ?? null,
    })),
    user: report.user,
    redacted: report.redacted,
    discloses: report.discloses,
    leavesOut: report.leavesOut,
  };
}
