import { compareKernels, type Difference, type Finding, isSame } from '@heki/audit';
import { hex, PAGE_SIZE } from '@heki/physical-memory';
import { auditSubject, auditWarnings } from '../audit/report.ts';
import type { Colours } from '../colours.ts';
import { ExitCode } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import { openSubject } from '../protect/open-subject.ts';
import { count, number } from '../quantity.ts';
import { writeReport } from '../report/write-report.ts';
import { type Warning, warningLines, warningsJson } from '../warning.ts';

/** Options of `heki diff`. */
export interface DiffOptions {
  readonly redact?: boolean;
  readonly json?: boolean;
}

/** Changes of each kind that are listed for people. */
const LISTED = 12;

/** Compares the kernels of two snapshots. The exit code: 1 when they differ, as for diff. */
export async function diff(
  before: string,
  after: string,
  options: DiffOptions,
  io: CommandIo,
): Promise<number> {
  const { redact = false } = options;
  const subjects = [await openSubject(before, {}), await openSubject(after, {})] as const;
  const difference = compareKernels(auditSubject(subjects[0]), auditSubject(subjects[1]));
  const warnings = subjects.flatMap((subject) => auditWarnings(subject, redact));
  await writeReport(
    'diff',
    {
      json: () => differenceJson(difference, warnings, redact),
      text: ({ colours }) => differenceLines(difference, warnings, redact, colours),
    },
    options,
    io,
  );
  return isSame(difference) ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

function differenceJson(difference: Difference, warnings: readonly Warning[], redact: boolean) {
  const { sameBoot, regions, image, frames, appeared, gone } = difference;
  return {
    same: isSame(difference),
    sameBoot,
    regions,
    image: image.map(({ start, end, ...change }) => ({ start: hex(start), end: hex(end), ...change })),
    frames: redact
      ? []
      : frames.map(({ start, end, ...change }) => ({
          start: hex(start * PAGE_SIZE),
          end: hex(end * PAGE_SIZE),
          ...change,
        })),
    appeared: appeared.map(findingJson),
    gone: gone.map(findingJson),
    warnings: warningsJson(warnings),
  };
}

function findingJson({ id, severity, summary, fingerprint }: Finding) {
  return { id, severity, summary, fingerprint };
}

function differenceLines(
  difference: Difference,
  warnings: readonly Warning[],
  redact: boolean,
  colours: Colours,
): string[] {
  const { sameBoot, regions, image, frames, appeared, gone } = difference;
  const { bold, red, green } = colours;
  const section = (title: string, lines: readonly string[]): string[] => {
    if (lines.length === 0) return [];
    const more =
      lines.length > LISTED ? [`  and ${number(lines.length - LISTED)} more (--json lists all)`] : [];
    return ['', bold(title), ...lines.slice(0, LISTED).map((line) => `  ${line}`), ...more];
  };
  return [
    isSame(difference)
      ? green('nothing differs')
      : `they differ${sameBoot ? ', of one boot' : ', of different boots'}`,
    ...warningLines(warnings, colours),
    ...section(
      'findings that appeared',
      appeared.map(({ severity, id, summary }) => red(`${severity} ${id}: ${summary}`)),
    ),
    ...section(
      'findings that are gone',
      gone.map(({ severity, id, summary }) => green(`${severity} ${id}: ${summary}`)),
    ),
    ...section(
      'pages by region and rights',
      regions.map((one) => `${one.region} ${one.rights}: ${number(one.before)} -> ${number(one.after)}`),
    ),
    ...section(
      'the image, by offset',
      image.map((one) => `${hex(one.start)}-${hex(one.end - 1)}: ${one.before} -> ${one.after}`),
    ),
    ...section(
      'guest-physical memory, by what all mappings allow together',
      redact
        ? []
        : frames.map(
            ({ start, end, before, after }) =>
              `${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}, ${count(end - start, 'page')}: ${before} -> ${after}`,
          ),
    ),
  ];
}
