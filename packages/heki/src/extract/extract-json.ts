import { hex } from '@heki/physical-memory';
import { count } from '../quantity.ts';
import type { Warning } from '../warning.ts';
import type { ExtractReport } from './extract-report.ts';

/** The report as the object that `heki extract --json` prints. */
export function extractJson(report: ExtractReport): object {
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
    warnings: warnings(report),
  };
}

/** What a reader must know to take the extract rightly. */
function warnings({ extract: { absentTables } }: ExtractReport): Warning[] {
  if (absentTables === 0) return [];
  const message = `the dump lacks ${count(absentTables, 'page-table page')}: what they map is not known`;
  return [{ id: 'absent-tables', message }];
}
