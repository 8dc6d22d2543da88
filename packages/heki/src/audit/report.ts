import {
  type Audit,
  type AuditedKernel,
  auditKernel,
  type CpuRegisters,
  type Finding,
  isAtLeast,
  type Severity,
} from '@heki/audit';
import type { ImageComparison } from '@heki/patch-sites';
import { PAGE_SIZE, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { Segment } from '@heki/vmcore';
import type { Subject } from '../protect/subject.ts';
import type { Warning } from '../warning.ts';
import type { Baseline, BaselineEntry } from './baseline.ts';
import type { AuditEvidence } from './evidence.ts';
import type { HekiReport } from './heki-report.ts';
import { withoutAddresses } from './without-addresses.ts';

/** A finding, and whether a baseline accepts it. */
export interface JudgedFinding extends Finding {
  /** Why it is accepted; `undefined` when it is not. */
  readonly accepted: string | undefined;
  /** It makes the command fail. */
  readonly fails: boolean;
}

/** Everything that `heki audit` found out. */
export interface AuditReport {
  readonly subject: Subject;
  readonly audit: Audit;
  readonly findings: readonly JudgedFinding[];
  /** The same findings, in the same order, as a baseline knows them: by the names of modules, which a redacted report does not have. */
  readonly known: readonly Finding[];
  readonly failOn: Severity;
  /** A finding makes the command fail. */
  readonly fails: boolean;
  /** What Heki would do; `undefined` with `--no-heki`. */
  readonly heki: HekiReport | undefined;
  /** Entries of the baseline that accept nothing any more. */
  readonly unusedBaseline: number;
  /** Leaves out addresses, the command line and names. */
  readonly redact: boolean;
}

/** How findings are judged. */
export interface AuditSettings {
  readonly failOn: Severity;
  readonly baseline: Baseline;
  /** Works out what Heki would do; `undefined` with `--no-heki`. */
  readonly heki: ((kernel: AuditedKernel) => HekiReport) | undefined;
  readonly redact: boolean;
  readonly evidence: AuditEvidence;
  /** `2026-11-28`: what has expired by then is accepted no more. */
  readonly today: string;
}

/** Audits the kernel of `subject`. @throws {AuditError} when its tables have no end */
export function auditReport(subject: Subject, settings: AuditSettings): AuditReport {
  const { failOn, baseline, heki, redact, evidence, today } = settings;
  const { listedCode, contents } = evidence;
  // A name tells as much as an address.
  const shown = redact ? { listedCode, contents: withoutModuleNames(contents) } : evidence;
  const audit = auditSubject(subject, shown);
  // The third module is another one after the next boot, and what was accepted of the one must not be of the other.
  const known =
    shown.contents === contents ? audit.findings : auditSubject(subject, { listedCode, contents }).findings;
  const reasons = baseline.accept(known, today);
  const findings = audit.findings.map((finding, index): JudgedFinding => {
    const accepted = reasons[index];
    const summary = redact ? withoutAddresses(finding.summary) : finding.summary;
    return {
      ...finding,
      summary,
      accepted,
      fails: accepted === undefined && isAtLeast(finding.severity, failOn),
    };
  });
  const unusedBaseline = baseline.entries.filter(
    ({ fingerprint }) => !known.some((finding) => finding.fingerprint === fingerprint),
  ).length;
  const fails = findings.some((finding) => finding.fails);
  const refused = known.filter((_, index) => reasons[index] === undefined);
  const expired = baseline.expired(refused, today).map(expiredWarning);
  return {
    subject: { ...subject, warnings: [...subject.warnings, ...expired] },
    audit,
    findings,
    known,
    failOn,
    fails,
    heki: heki?.(audit.kernel),
    unusedBaseline,
    redact,
  };
}

function expiredWarning({ fingerprint, expires }: BaselineEntry): Warning {
  const [id] = fingerprint.split('|');
  const message = `the baseline accepted ${id} until ${expires}, and accepts it no more: to go on, set another day in its file, or take "expires" out`;
  return { id: 'baseline-expired', message };
}

/** Which modules are loaded is not told. */
function withoutModuleNames(contents: ImageComparison | undefined): ImageComparison | undefined {
  if (contents?.modules === undefined) return contents;
  const modules = contents.modules.map((one, index) => ({ ...one, name: `module ${index + 1}` }));
  return { ...contents, modules };
}

/** The verdict in one line. */
export function verdictText({ findings, failOn }: AuditReport): string {
  const failing = findings.filter(({ fails }) => fails);
  const accepted = findings.filter((one) => one.accepted !== undefined && isAtLeast(one.severity, failOn));
  const known = accepted.length === 0 ? '' : ` (${accepted.length} accepted by the baseline)`;
  if (failing.length === 0) return `no finding at ${failOn} or above${known}`;
  return `${failing.length} ${failing.length === 1 ? 'finding' : 'findings'} at ${failOn} or above, the worst ${failing[0]?.severity}${known}`;
}

/** Everything that the audit looks for in the kernel of `subject`. @throws {AuditError} when its tables have no end */
export function auditSubject(subject: Subject, evidence: AuditEvidence = {}): Audit {
  const { core, tables, processor, symbols, memoryMap, memoryMapFrom, iomem, bases, hypercallPage } = subject;
  return auditKernel({
    ...evidence,
    tables,
    symbols,
    bases,
    hypercallPage,
    cpus: core.cpus.map(({ cr0, cr3, cr4, segments }, cpu) => ({
      cpu,
      cr0,
      cr3,
      cr4,
      idt: baseOf(segments.idt),
      gdt: baseOf(segments.gdt),
      tss: baseOf(segments.tr),
      ldt: localTableOf(segments.ldt),
    })),
    efer: processor.eferFrom === undefined ? undefined : processor.registers.efer,
    supportedCr4: processor.named ? processor.cpu.cr4 : undefined,
    meltdown: processor.named ? processor.cpu.meltdown : undefined,
    ...(iomem && { iomem }),
    ...(memoryMapFrom !== undefined && { memoryMap }),
  });
}

/** A redacted extract has zeros in place of base and limit. */
function baseOf({ base, limit }: Segment): VirtualAddress | undefined {
  return limit === 0 ? undefined : virtualAddress(base);
}

/** LDTR names one where its selector is not null. */
function localTableOf(segment: Segment): CpuRegisters['ldt'] {
  const base = baseOf(segment);
  return segment.selector === 0 || base === undefined ? undefined : { base, limit: segment.limit };
}

/**
 * What a reader must know to take the audit of `subject` rightly.
 *
 * @param redact of each only the kind: messages may have addresses and names
 */
export function auditWarnings(subject: Subject, redact: boolean, contents?: ImageComparison): Warning[] {
  const unseen: Warning = {
    id: 'protections-not-checked',
    message: 'the dump has no control registers: whether WP, SMEP, SMAP and UMIP are on was not checked',
  };
  const absent: Warning = {
    id: 'contents-absent',
    message: 'the dump does not have all of the code and the constants: what it lacks was not compared',
  };
  const warnings = [
    ...(contents !== undefined && lacksContents(contents) ? [absent] : []),
    ...subject.warnings,
    ...subject.processor.warnings,
    ...(subject.core.cpus.length === 0 ? [unseen] : []),
  ];
  return redact ? warnings.map(({ id }) => ({ id, message: `${id} (redacted)` })) : warnings;
}

/** Whether some of it could not be compared. The end of the constants is freed to its last page. */
function lacksContents({ text, constants }: ImageComparison): boolean {
  const lacks = [text, ...(constants === undefined ? [] : [constants])].map(
    ({ range, compared }) => range.end - range.start - compared,
  );
  return lacks.some((bytes) => bytes >= 2 * PAGE_SIZE);
}

/** What told where text and constants are. */
export function sectionsText({ audit }: AuditReport): string {
  const { from } = audit.kernel.sections;
  return {
    symbols: 'its symbols',
    'memory-map': 'its memory map',
    'page-tables': 'the permissions themselves',
  }[from];
}
