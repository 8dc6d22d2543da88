import {
  type AuditedKernel,
  FINDING_KINDS,
  type FrameExtent,
  leafRights,
  type Mapping,
  rightsText,
} from '@heki/audit';
import {
  type AuditPage,
  encodeMemory,
  type GrantRun,
  type MemoryData,
  type MemoryRun,
  memoryRun,
  type PageFact,
  type PageFinding,
  type PageHypervisor,
  type PageName,
} from '@heki/inspector';
import { kernelRightsText } from '@heki/machine';
import {
  type FrameRange,
  firstBehind,
  type Gfn,
  joinedRanges,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { VirtualRange } from '@heki/vmcore';
import { number } from '../quantity.ts';
import { tablesLines } from '../snapshot.ts';
import { contentsFacts } from './audit-text.ts';
import { type HekiReport, hekiFacts, readinessText } from './heki-report.ts';
import { type AuditReport, auditWarnings, type JudgedFinding, sectionsText, verdictText } from './report.ts';

/** Ranges of a finding that the page lists and shows. */
const MOST_RANGES = 4096;
/** Mappings of a frame that the page lists: of more, attackers and shared pages of zeros have any number. */
const MOST_PLACES = 16;
/** Pages of code and constants of which the page tells what lies there: those of an image, and of some hundred modules. */
const MOST_NAMES = 8192;
/** Where symbols lie. */
const NAMED_REGIONS: ReadonlySet<string> = new Set(['kernel text', 'kernel rodata', 'modules']);
/** By the level of its table. */
export const LEAF_SIZES = ['', '4K', '2M', '1G'];

/**
 * What the page shows.
 *
 * @param tool `heki 1.2.3`
 */
export function auditPage(report: AuditReport, hypervisors: readonly HekiReport[], tool: string): AuditPage {
  const { audit, redact } = report;
  return {
    tool,
    verdict: { fails: report.fails, text: verdictText(report), counts: audit.counts },
    facts: facts(report),
    findings: report.findings.map((finding) => pageFinding(finding, redact)),
    warnings: [
      ...auditWarnings(report.subject, redact, audit.kernel.contents),
      ...hypervisors.flatMap(({ warnings }) => warnings),
    ].map(({ id, message }) => ({ id, message })),
    memory: redact ? null : memoryData(report, hypervisors),
    hypervisors: hypervisors.map((heki, index) => pageHypervisor(heki, redact, index)),
  };
}

function facts(report: AuditReport): PageFact[] {
  const { subject, audit, redact } = report;
  const { commandLine, memoryMap } = subject;
  const { contents } = audit.kernel;
  return [
    ...(redact
      ? []
      : ([
          ['source', subject.name],
          ['kernel', subject.kernel],
          ...(commandLine === undefined ? [] : [['command line', commandLine] as const]),
          ['page tables', tablesLines(subject.tables).join(' ')],
        ] satisfies PageFact[])),
    ['leaves', number(audit.kernel.mappings.length)],
    ['RAM', `${number(memoryMap.ramFrames)} pages`],
    ['text and constants', `by ${sectionsText(report)}`],
    ...(contents === undefined ? [] : contentsFacts(contents)),
    ['fails', `for a finding at ${report.failOn} or above`],
  ];
}

function pageFinding(finding: JudgedFinding, redact: boolean): PageFinding {
  const { id, severity, title, summary, explanation, advice, pages, accepted = null, fails } = finding;
  const kind = FINDING_KINDS.find((one) => one.id === id);
  const ranges = redact ? [] : finding.ranges;
  return {
    ...{ id, severity, title, summary, explanation, advice, pages, accepted, fails },
    attack: kind?.attack ?? '',
    legitimate: kind?.legitimate ?? '',
    ranges: ranges.slice(0, MOST_RANGES).map(({ start, end }) => [start, end]),
    rangesLeftOut: Math.max(0, ranges.length - MOST_RANGES),
    aliases: finding.aliases.map(({ start, end, frame, region, symbol, leaf, effective }) => ({
      virtualFrame: redact ? null : start,
      frame: redact ? null : frame,
      pages: end - start,
      region: redact || symbol === undefined ? region : `${region}, ${symbol}`,
      leaf: rightsText(leaf),
      effective: rightsText(effective),
    })),
    aliasesLeftOut: finding.aliasesLeftOut,
  };
}

function pageHypervisor(heki: HekiReport, redact: boolean, index: number): PageHypervisor {
  const { result, name, title } = heki;
  return {
    name,
    title,
    readiness: readinessText(heki, redact),
    inForce: result.inForce,
    unjudged: heki.warnings.some(({ id }) => id === 'unjudged'),
    facts: hekiFacts(heki),
    work: result.inForce
      ? result.work.map(({ title, outcome, pages, why }) => ({ title, outcome, pages, why }))
      : [],
    open: result.open.map(({ text }) => text),
    grants: redact ? null : index,
  };
}

function memoryData({ subject, audit }: AuditReport, hypervisors: readonly HekiReport[]): MemoryData {
  return encodeMemory({
    ram: subject.memoryMap.entries.filter(({ type }) => type === 'ram'),
    runs: audit.kernel.extents.map((extent) => memoryRunOf(extent)),
    names: pageNames(audit.kernel),
    tables: tableRuns(audit.kernel.tableFrames),
    crashKernel: subject.crashKernel,
    bpf: bpfRuns(audit.kernel.mappings, audit.kernel.listedCode?.bpf),
    grants: hypervisors.map(({ result }) =>
      result.granted.map(
        ({ start, end, granted, immutable }): GrantRun => ({
          ...{ start, end, immutable },
          rights: kernelRightsText(granted),
        }),
      ),
    ),
  });
}

/** Where page tables are, ascending and joined. */
export function tableRuns(frames: ReadonlySet<Gfn>): FrameRange<Gfn>[] {
  return joinedRanges([...frames].map((start) => ({ start, end: (start + 1) as Gfn })));
}

/** The frames behind `pages` of eBPF among the modules: elsewhere the lists of a kernel name nothing that is its code. */
export function bpfRuns(
  mappings: readonly Mapping[],
  pages: readonly VirtualRange[] | undefined,
): FrameRange<Gfn>[] | undefined {
  if (pages === undefined) return undefined;
  const listed = joinedRanges(pages);
  const found: FrameRange<Gfn>[] = [];
  for (const { region, virtualFrame, frames, guestFrame } of mappings) {
    if (region !== 'modules') continue;
    const behind = virtualFrame + frames;
    for (let index = firstBehind(listed, virtualFrame); index < listed.length; index++) {
      const range = listed[index];
      if (range === undefined || range.start >= behind) break;
      const distance = guestFrame - virtualFrame;
      found.push({
        start: (Math.max(range.start, virtualFrame) + distance) as Gfn,
        end: (Math.min(range.end, behind) + distance) as Gfn,
      });
    }
  }
  return joinedRanges(found);
}

/** Frames with the same mappings, as a page carries them. */
export function memoryRunOf({ start, end, rights, mappings, mappingCount }: FrameExtent): MemoryRun {
  const listed = mappings.slice(0, MOST_PLACES);
  return memoryRun({
    start,
    end,
    rights: rightsText(rights),
    places: listed.map((mapping) => ({
      region: mapping.region,
      rights: rightsText(mapping.rights),
      leaf: rightsText(leafRights(mapping)),
      size: LEAF_SIZES[mapping.level] ?? '',
    })),
    distances: listed.map(({ virtualFrame, guestFrame }) => virtualFrame - guestFrame),
    unlisted: mappingCount - listed.length,
  });
}

/** What lies at the beginning of each page of code and constants, as far as it has a name. */
export function pageNames({ mappings, symbolAt }: Pick<AuditedKernel, 'mappings' | 'symbolAt'>): PageName[] {
  const names: PageName[] = [];
  if (symbolAt === undefined) return names;
  for (const { virtualFrame, frames, region } of mappings) {
    if (!NAMED_REGIONS.has(region)) continue;
    for (let page = 0; page < frames && names.length < MOST_NAMES; page++) {
      const frame = (virtualFrame + page) as VirtualFrame;
      const symbol = symbolAt(virtualAddressOf(frame));
      if (symbol !== undefined) names.push({ virtualFrame: frame, symbol });
    }
  }
  return names;
}
