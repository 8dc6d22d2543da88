import { type Alias, rightsText } from '@heki/audit';
import type { ComparedPart, ImageComparison } from '@heki/patch-sites';
import { type FrameRange, type Gfn, hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { processorJson } from '../assumed-processor.ts';
import { tablesJson } from '../snapshot.ts';
import { warningsJson } from '../warning.ts';
import { hekiJson } from './heki-report.ts';
import { type AuditReport, auditWarnings, type JudgedFinding, verdictText } from './report.ts';
import { withoutValues } from './without-addresses.ts';

/** The report as the object that `heki audit --json` prints. */
export function auditJson(report: AuditReport): object {
  const { subject, audit, failOn, redact, heki } = report;
  const { contents } = audit.kernel;
  return {
    verdict: {
      result: report.fails ? 'fail' : 'pass',
      text: verdictText(report),
      worst: audit.worst ?? null,
      failOn,
      counts: audit.counts,
    },
    findings: report.findings.map((finding) => findingJson(finding, redact)),
    heki: heki === undefined ? null : hekiJson(heki, redact),
    contents:
      contents === undefined
        ? null
        : {
            text: {
              ...comparedJson(contents.text),
              kprobes: contents.text.probed.length,
              updatedStaticCalls: contents.text.updatedStaticCalls.map(({ name, leadsTo }) => ({
                name: name ?? null,
                leadsTo: leadsTo ?? null,
              })),
            },
            constants: contents.constants === undefined ? null : comparedJson(contents.constants),
            modules: contents.modules === undefined ? null : modulesJson(contents, redact),
          },
    source: {
      name: redact ? null : subject.name,
      kernel: redact ? null : subject.kernel,
      commandLine: redact ? null : (subject.commandLine ?? null),
      tables: redact ? null : tablesJson(subject.tables),
      processor: redact ? null : processorJson(subject.processor),
      leaves: audit.kernel.mappings.length,
      ramPages: subject.memoryMap.ramFrames,
      sectionsFrom: audit.kernel.sections.from,
      redacted: redact,
    },
    warnings: warningsJson([...auditWarnings(subject, redact, contents), ...(heki?.warnings ?? [])]),
  };
}

/** @param redact leaves out every address */
function findingJson(finding: JudgedFinding, redact: boolean) {
  return {
    id: finding.id,
    severity: finding.severity,
    title: finding.title,
    summary: finding.summary,
    explanation: finding.explanation,
    advice: finding.advice,
    pages: finding.pages,
    ranges: redact ? [] : finding.ranges.map(rangeJson),
    aliases: finding.aliases.map((alias) => aliasJson(alias, redact)),
    aliasesLeftOut: finding.aliasesLeftOut,
    fingerprint: redact ? withoutValues(finding.fingerprint) : finding.fingerprint,
    accepted: finding.accepted ?? null,
    fails: finding.fails,
  };
}

function modulesJson({ modules = [], modulesLeftOut = [] }: ImageComparison, redact: boolean) {
  return {
    modules: modules.length,
    compared: modules.reduce((sum, { compared }) => sum + compared, 0),
    differing: modules.reduce((sum, { differing }) => sum + differing, 0),
    unexplained: modules.reduce(
      (sum, { unexplained }) => sum + unexplained.reduce((bytes, { start, end }) => bytes + end - start, 0),
      0,
    ),
    leftOut: redact ? [] : modulesLeftOut,
  };
}

function comparedJson({ range, compared, differing, explained, unexplained }: ComparedPart) {
  return {
    bytes: range.end - range.start,
    compared,
    differing,
    explained: Object.fromEntries(explained),
    unexplained: unexplained.reduce((sum, { start, end }) => sum + end - start, 0),
  };
}

function rangeJson({ start, end }: FrameRange<Gfn>) {
  return { start: hex(start * PAGE_SIZE), end: hex(end * PAGE_SIZE) };
}

function aliasJson({ start, end, frame, region, symbol, leaf, effective }: Alias, redact: boolean) {
  const place = redact
    ? {}
    : {
        start: hex(virtualAddressOf(start)),
        end: hex(BigInt(end) << 12n),
        physical: hex(frame * PAGE_SIZE),
      };
  return {
    ...place,
    pages: end - start,
    region,
    ...(symbol !== undefined && { symbol }),
    leaf: rightsText(leaf),
    effective: rightsText(effective),
  };
}
