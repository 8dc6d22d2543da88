import { basename } from 'node:path';
import type { MachineSpecification } from '@heki/machine';
import { INTEL_VT_RP } from '@heki/x86';
import { InputError, UsageError } from '../failure.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { createProgress } from '../progress.ts';
import { readRecording } from '../replay/recording.ts';
import { type ReplayReport, replayRecording } from '../replay/replay-recording.ts';
import { replayText } from '../replay/replay-text.ts';
import { writeReport } from '../report/write-report.ts';
import { hypervisorOf } from '../specification.ts';
import { specificationOf } from '../specification-of-flags.ts';
import { exitCodeOf } from '../verdict/finding.ts';
import { rightsFindings, rightsWarnings } from '../verdict/rights-warnings.ts';
import { type Verdict, verdictJson } from '../verdict/verdict.ts';
import { type Warning, warningsJson } from '../warning.ts';

/** Options of `heki replay`. */
export interface ReplayOptions extends MachineFlags {
  readonly strict?: boolean;
  readonly json?: boolean;
}

/** `heki replay RECORDING`. Exit code 1 when pages end with more than their mappings need. */
export async function replay(path: string, options: ReplayOptions, io: CommandIo): Promise<number> {
  const machine = specificationOf(options);
  // Refuses what the recording's machine does not have.
  hypervisorOf(HYPERVISORS.kvm, machine, {}, INTEL_VT_RP);
  if (machine.defects?.['B-G5'] === false)
    throw new UsageError('--no-defect B-G5: a recording does not hold what a core without it looks at');
  const report = replayNamed(path, await readText(path, INPUT_KINDS.recording), machine, io);
  const verdict = replayVerdict(report, options.strict ?? false);
  await writeReport(
    'replay',
    {
      json: () => replayJson(report, verdict),
      text: (screen) => replayText(basename(path), report, verdict, screen),
    },
    options,
    io,
  );
  return exitCodeOf(verdict.findings, verdict);
}

/** Heki was in force: a recording that never protects is refused. */
function replayVerdict({ profile, rights }: ReplayReport, strict: boolean): Verdict {
  return { profile, strict, inForce: true, refusal: undefined, findings: rightsFindings(rights) };
}

/** Replays the recording in `text`; what is wrong with it is said of the file at `path`. */
function replayNamed(path: string, text: string, machine: MachineSpecification, io: CommandIo): ReplayReport {
  try {
    const calls = readRecording(text);
    const progress = createProgress(io, { what: 'replaying', total: calls.length });
    try {
      return replayRecording(calls, {
        ...machine,
        onProgress: progress.update,
      });
    } finally {
      progress.stop();
    }
  } catch (error) {
    throw error instanceof InputError
      ? new InputError(error.message, { ...error.place, file: path }, error)
      : error;
  }
}

/** The report as programs read it. */
function replayJson(report: ReplayReport, verdict: Verdict) {
  const { profile, defects, mbec, calls, hypercalls, failedHooks, ranges, end, rights } = report;
  return {
    profile,
    defects,
    mbec,
    calls,
    hypercalls,
    failedHooks,
    ranges,
    end,
    verdict: verdictJson(verdict),
    warnings: warningsJson(rightsWarnings(rights, { inForce: true })),
    assumed: warningsJson(ASSUMED),
    notCovered: warningsJson(NOT_COVERED),
  };
}

const ASSUMED: readonly Warning[] = [
  { id: 'page-tables', message: 'each call changed the mappings that its walk met, and none else' },
];
const NOT_COVERED: readonly Warning[] = [
  { id: 'unsent', message: 'pages that no protect call named: their rights are not looked at' },
];
