import type { Run } from '../memory/bounded-runs.ts';
import type { GrantRun, MemoryRun } from '../memory/memory-data.ts';
import { type MemoryModel, runsWithin, worstClass } from '../memory/memory-model.ts';
import { PAGE_CLASSES, type PageClass } from '../memory/page-class.ts';
import { findingsIn, type MappedFinding, type ReportModel } from './report-model.ts';
import { count, number, physicalText, sizeText, virtualText } from './words.ts';

/** What is said of a stretch of physical memory. */
export interface Description {
  readonly range: Run;
  /** `0x1000000-0x1000fff, 4 KiB: code: ...`. */
  readonly title: string;
  readonly pageClass: PageClass;
  readonly runs: readonly RunDescription[];
  /** Runs that are not told. */
  readonly moreRuns: number;
  /** What of it is the kernel's for a purpose: `page tables of the kernel`. */
  readonly holds: readonly string[];
  readonly findings: readonly MappedFinding[];
  /** What each hypervisor grants the kernel there. */
  readonly enforced: readonly { readonly name: string; readonly text: string }[];
}

/** What is said of frames with the same mappings. */
export interface RunDescription {
  readonly run: MemoryRun;
  /** `0x1000000-0x11fffff, 2 MiB, r-x`. */
  readonly title: string;
  readonly places: readonly {
    readonly addresses: string;
    readonly rights: string;
    /** Where that is: `kernel text, 4K leaf, from vfs_read+0x10`. */
    readonly region: string;
  }[];
  /** What is not listed. */
  readonly more: string | undefined;
}

/** Runs of a stretch that are told. */
const TOLD = 4;

/** What is known of the frames of `range`. */
export function describe(model: ReportModel, range: Run): Description | undefined {
  const { memory } = model;
  if (memory === undefined) return undefined;
  const pageClass = worstClass(memory, range);
  const runs = runsWithin(memory.runs, range, TOLD + 1);
  const all = runs.length > TOLD ? runsWithin(memory.runs, range).length : runs.length;
  return {
    range,
    title: `${physicalText(range)}, ${sizeText(range.end - range.start)}: ${all > 1 || runs[0]?.summary !== undefined ? 'the worst of it ' : ''}${PAGE_CLASSES[pageClass].title}`,
    pageClass,
    runs: runs.slice(0, TOLD).map((run) => runDescription(memory, run, range.start)),
    moreRuns: Math.max(0, all - TOLD),
    holds: holdsOf(memory, range),
    findings: findingsIn(model, range),
    enforced: model.page.hypervisors.map(({ name, grants, inForce }) => ({
      name,
      text: grantText(grants === null ? undefined : memory.grants[grants], range, inForce),
    })),
  };
}

/** What the map's colours by owner tell beside regions. */
function holdsOf({ tables, crashKernel, bpf, unsent }: MemoryModel, range: Run): string[] {
  const told = [
    ['page tables of the kernel', tables],
    ['kept for a crash kernel', crashKernel],
    ["eBPF, by the kernel's own lists", bpf],
    ['nothing is asked of the hypervisor for it', unsent],
  ] as const;
  return told.flatMap(([text, runs = []]) => {
    const [first] = runsWithin(runs, range, 1);
    if (first === undefined) return [];
    return [first.start <= range.start && range.end <= first.end ? text : `in parts: ${text}`];
  });
}

/** The description as one text, for who cannot see the map. */
export function spoken({ title, runs, moreRuns, holds, findings, enforced }: Description): string {
  return [
    title,
    ...runs.map(({ title: about, places, more }) => {
      const mapped = places.map(({ addresses, rights, region }) => `${rights} at ${addresses}, ${region}`);
      return `${about}: ${[...mapped, ...(more === undefined ? [] : [more])].join('; ')}`;
    }),
    ...(moreRuns === 0 ? [] : [count(moreRuns, 'more stretch', 'more stretches')]),
    ...holds,
    ...enforced.map(({ name, text }) => `${name}: ${text}`),
    ...findings.map(({ severity, title }) => `Finding, ${severity}: ${title}`),
  ].join('. ');
}

/**
 * What is said of a run.
 *
 * @param at of which frame the symbol is told, if the run has it; else that of the first
 */
export function runDescription(
  { symbols }: Pick<MemoryModel, 'symbols'>,
  run: MemoryRun,
  at: number = run.start,
): RunDescription {
  const { summary, places, distances, unlisted, rights } = run;
  const size = `${physicalText(run)}, ${sizeText(run.end - run.start)}`;
  if (summary !== undefined) {
    return {
      run,
      title: `${size}, ${count(summary.runs, 'stretch', 'stretches')} put together`,
      places: [],
      more: `${count(summary.frames, 'page')} of them mapped, the worst ${PAGE_CLASSES[run.pageClass].title}; heki find and heki walk tell each`,
    };
  }
  return {
    run,
    title: `${size}, ${rights} by all mappings together`,
    places: places.map((place, index) => {
      const distance = distances[index] ?? 0;
      const symbol = symbols.get(Math.max(run.start, at) + distance);
      const from = symbol === undefined ? '' : `, ${at > run.start ? 'here' : 'from'} ${symbol}`;
      const leaf = place.leaf === place.rights ? '' : `, leaf ${place.leaf}`;
      return {
        addresses: virtualText({ start: run.start + distance, end: run.end + distance }),
        rights: place.rights,
        region: `${place.region}, ${place.size} leaf${leaf}${from}`,
      };
    }),
    more: unlisted === 0 ? undefined : `${count(unlisted, 'more mapping')} not listed`,
  };
}

/** What is granted for frames of `range`: `r-x for good`. */
function grantText(grants: readonly GrantRun[] | undefined, range: Run, inForce: boolean): string {
  if (grants === undefined) return 'not known';
  const texts = new Set<string>();
  let at = range.start;
  for (const { start, end, rights, immutable } of runsWithin(grants, range)) {
    if (start > at) texts.add('nothing: no memory');
    texts.add(immutable ? `${rights} for good` : rights);
    at = end;
  }
  if (at < range.end) texts.add('nothing: no memory');
  const shown = [...texts].slice(0, 4).join(', ');
  const more = texts.size > 4 ? ` and ${number(texts.size - 4)} more` : '';
  return `${shown}${more}${inForce ? '' : ' (nothing is enforced)'}`;
}
