import { isAtLeast, type Severity } from '@heki/audit';
import { auditJson } from '../audit/audit-json.ts';
import { auditMarkdown } from '../audit/audit-markdown.ts';
import { auditSarif } from '../audit/audit-sarif.ts';
import { auditText } from '../audit/audit-text.ts';
import { type Baseline, baselineText, createBaseline, updatedBaseline } from '../audit/baseline.ts';
import { auditEvidence } from '../audit/evidence.ts';
import { type AuditReport, auditReport } from '../audit/report.ts';
import { ExitCode, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import type { NamesOptions } from '../names/open-names.ts';
import { filesOfDump, refuseInputs, writeFiles } from '../output-file.ts';
import { openSubject } from '../protect/open-subject.ts';
import type { SubjectOptions } from '../protect/subject.ts';
import { VERSION } from '../report/report-header.ts';
import { writeReport } from '../report/write-report.ts';

/** Options of `heki audit`. */
export interface AuditOptions extends SubjectOptions, MachineFlags, NamesOptions {
  readonly failOn?: Severity;
  readonly baseline?: string;
  readonly updateBaseline?: boolean;
  readonly heki?: boolean;
  readonly redact?: boolean;
  readonly json?: boolean;
  readonly sarif?: string;
  readonly markdown?: string;
  readonly html?: string;
}

/** Audits a kernel and prints what was found. The exit code: 1 when a finding is at or above `--fail-on`. */
export async function audit(path: string | undefined, options: AuditOptions, io: CommandIo): Promise<number> {
  const { updateBaseline = false, redact = false } = options;
  if (updateBaseline && options.baseline === undefined) {
    throw new UsageError('--update-baseline: expected --baseline FILE, the file to write');
  }
  const { sarif, markdown, html, baseline: known } = options;
  refuseInputs(
    [
      ['--sarif', sarif],
      ['--markdown', markdown],
      ['--html', html],
      ...(updateBaseline ? ([['--baseline', known]] as const) : []),
    ],
    [
      ...(path === undefined ? [] : filesOfDump(path)),
      options.memoryMap,
      options.symbols,
      options.vmlinux,
      options.hypervisor,
      ...(updateBaseline ? [] : [known]),
    ],
  );
  // Hypervisors are most of the command's code: an audit without Heki does without.
  const auditor =
    options.heki === false ? undefined : await (await import('../audit/under-heki.ts')).hekiAuditor(options);
  const opened = await openSubject(path, options);
  const { evidence, warnings } = await auditEvidence(path, opened, options);
  const subject = { ...opened, warnings: [...opened.warnings, ...warnings] };
  // A baseline that is about to be made need not be there.
  const baseline =
    options.baseline === undefined
      ? createBaseline([])
      : await readOrCreate(options.baseline, updateBaseline);
  const today = new Date().toISOString().slice(0, 10);
  const report = auditReport(subject, {
    failOn: options.failOn ?? 'high',
    baseline,
    heki: auditor === undefined ? undefined : (kernel) => auditor.look(subject, kernel),
    redact,
    evidence,
    today,
  });
  const updated = updateBaseline ? updatedBaseline(report.known, baseline) : undefined;

  const files = [
    ...(options.sarif === undefined
      ? []
      : [
          {
            path: options.sarif,
            text: `${JSON.stringify(auditSarif(report, VERSION), undefined, 2)}\n`,
          },
        ]),
    ...(options.markdown === undefined ? [] : [{ path: options.markdown, text: auditMarkdown(report) }]),
    ...(options.html === undefined ? [] : [{ path: options.html, text: await page(report, options) }]),
    ...(updated !== undefined && options.baseline !== undefined
      ? [{ path: options.baseline, text: baselineText(updated) }]
      : []),
  ];
  await writeFiles(
    files.map((file) => ({ path: file.path, chunks: [Buffer.from(file.text)] })),
    true,
  );

  await writeReport(
    'audit',
    { json: () => auditJson(report), text: (screen) => auditText(report, screen) },
    options,
    io,
  );
  // What an update cannot accept, as its day has passed, fails at once and not with the next run.
  const fails = updated === undefined ? report.fails : leavesOut(updated, report, today);
  return fails ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/** Whether `baseline` accepts not everything for which the command fails. */
function leavesOut(baseline: Baseline, { known, failOn }: AuditReport, today: string): boolean {
  const reasons = baseline.accept(known, today);
  return known.some(({ severity }, index) => reasons[index] === undefined && isAtLeast(severity, failOn));
}

/** The page; with what the other hypervisors would do, too, unless Heki is left out. */
async function page(report: AuditReport, options: AuditOptions): Promise<string> {
  const { auditHtml } = await import('../audit/audit-html.ts');
  const { heki, subject, audit } = report;
  if (heki === undefined) return auditHtml(report, []);
  const { underOtherHypervisors } = await import('../audit/under-heki.ts');
  return auditHtml(report, [heki, ...(await underOtherHypervisors(options, subject, audit.kernel))]);
}

async function readOrCreate(path: string, create: boolean) {
  const { readBaseline } = await import('../audit/read-baseline.ts');
  try {
    return await readBaseline(path);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (create && isMissing) return createBaseline([]);
    throw error;
  }
}
