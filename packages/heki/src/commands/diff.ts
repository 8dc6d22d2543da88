import {
  type AuditedKernel,
  compareKernels,
  type Difference,
  type Finding,
  type FrameChange,
  type ImageChange,
  isSame,
} from '@heki/audit';
import { hex, PAGE_SIZE, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { hasStandardBase } from '@heki/vmcore';
import { auditEvidence } from '../audit/evidence.ts';
import { auditSubject, auditWarnings } from '../audit/report.ts';
import type { Colours } from '../colours.ts';
import { ExitCode } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import { openSubject } from '../protect/open-subject.ts';
import type { Subject } from '../protect/subject.ts';
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
  const evidence = [
    (await auditEvidence(before, subjects[0], {})).evidence,
    (await auditEvidence(after, subjects[1], {})).evidence,
  ] as const;
  const audits = [auditSubject(subjects[0], evidence[0]), auditSubject(subjects[1], evidence[1])] as const;
  const isOther = areOfOtherBuilds(...subjects);
  const difference = compareKernels(...audits, isOther);
  const changes = namedChanges(difference, audits[1].kernel, redact);
  const warnings = [
    ...(isOther ? [otherKernels(...subjects, redact)] : []),
    ...(difference.frames.length > 0 && hasStandardBase(subjects[0].tables) ? [BOOT_UNKNOWN] : []),
    ...subjects.flatMap((subject) => auditWarnings(subject, redact)),
  ];
  await writeReport(
    'diff',
    {
      json: () => differenceJson(difference, changes, warnings),
      text: ({ colours }) => differenceLines(difference, changes, warnings, colours),
    },
    options,
    io,
  );
  return isSame(difference) ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** Whether both tell how they were built, and it is not the same: by the id of the build where both have one (5.9 and newer), or by version. */
function areOfOtherBuilds(before: Subject, after: Subject): boolean {
  return ['BUILD-ID', 'OSRELEASE'].some((key) => {
    const [one, other] = [before, after].map(({ core }) => core.vmcoreinfo?.values.get(key));
    return one !== undefined && other !== undefined && one !== other;
  });
}

function otherKernels(before: Subject, after: Subject, redact: boolean): Warning {
  const [one, other] = [before, after].map(({ core }) => core.vmcoreinfo?.release);
  const names = redact || one === other ? '' : `, ${one} and ${other}`;
  return {
    id: 'other-kernel',
    message: `these are different kernels${names}: much of what differs is how they were built, and memory is not compared frame by frame`,
  };
}

const BOOT_UNKNOWN: Warning = {
  id: 'boot-unknown',
  message:
    'both kernels lie where one lies without KASLR, so that two boots cannot be told from one: frames are compared as of one',
};

/** A change with what the kernel has at its start, by its own symbols. */
type Named<Change> = Change & { readonly symbol: string | undefined };

interface NamedChanges {
  readonly image: readonly Named<ImageChange>[];
  readonly frames: readonly Named<FrameChange>[];
}

/** Frames are named by the direct map, of which the image's are known; they are left out where addresses are not to be told. */
function namedChanges(
  { image, frames }: Difference,
  { tables, sections, symbolAt }: AuditedKernel,
  redact: boolean,
): NamedChanges {
  const named = <Change>(change: Change, virtualFrame: number): Named<Change> => ({
    ...change,
    symbol: symbolAt?.(virtualAddressOf(virtualFrame as VirtualFrame)),
  });
  return {
    image: image.map((change) => named(change, sections.image.start + change.start / PAGE_SIZE)),
    frames: redact ? [] : frames.map((change) => named(change, tables.directMap.start + change.start)),
  };
}

function differenceJson(
  difference: Difference,
  { image, frames }: NamedChanges,
  warnings: readonly Warning[],
) {
  const { sameBoot, regions, appeared, gone } = difference;
  return {
    same: isSame(difference),
    sameBoot,
    regions,
    image: image.map(({ start, end, symbol = null, ...change }) => ({
      start: hex(start),
      end: hex(end),
      ...change,
      symbol,
    })),
    frames: frames.map(({ start, end, symbol = null, ...change }) => ({
      start: hex(start * PAGE_SIZE),
      end: hex(end * PAGE_SIZE),
      ...change,
      symbol,
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
  { image, frames }: NamedChanges,
  warnings: readonly Warning[],
  colours: Colours,
): string[] {
  const { sameBoot, regions, appeared, gone } = difference;
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
      : `they differ, ${warnings.includes(BOOT_UNKNOWN) ? 'of one boot or of two' : sameBoot ? 'of one boot' : 'of different boots'}`,
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
      image.map(
        (one) => `${hex(one.start)}-${hex(one.end - 1)}: ${one.before} -> ${one.after}${fromText(one)}`,
      ),
    ),
    ...section(
      'guest-physical memory, by what all mappings allow together',
      frames.map(
        ({ start, end, before, after, ...named }) =>
          `${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}, ${count(end - start, 'page')}: ${before} -> ${after}${fromText(named)}`,
      ),
    ),
  ];
}

function fromText({ symbol }: { readonly symbol: string | undefined }): string {
  return symbol === undefined ? '' : `, from ${symbol} on`;
}
