import { firstBehind } from '@heki/physical-memory';
import type { Run } from './bounded-runs.ts';
import type { GrantRun, MemoryData, MemoryRun } from './memory-data.ts';
import { PageClass, worseOf } from './page-class.ts';

/** What is where in physical memory. */
export interface MemoryModel {
  readonly ram: readonly Run[];
  /** What is mapped, ascending and apart. */
  readonly runs: readonly MemoryRun[];
  /** For each hypervisor what it grants. */
  readonly grants: readonly (readonly GrantRun[])[];
  /** The kernel's page tables. */
  readonly tables: readonly Run[];
  /** What is kept for a crash kernel. */
  readonly crashKernel: readonly Run[];
  /** Pages of eBPF; `undefined` where nothing lists them. */
  readonly bpf: readonly Run[] | undefined;
  /** RAM that a hypervisor was asked nothing for; `undefined` where that is not known. */
  readonly unsent: readonly Run[] | undefined;
  /** What lies at the first byte of a page, by its virtual frame. */
  readonly symbols: ReadonlyMap<number, string>;
  /** One past the last frame of RAM. */
  readonly ramEnd: number;
  /** One past the last frame of which anything is known. */
  readonly end: number;
}

function decodeRuns(gaps: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (let at = 0, last = 0; at + 1 < gaps.length; at += 2) {
    const start = last + (gaps[at] ?? 0);
    last = start + (gaps[at + 1] ?? 0);
    runs.push({ start, end: last });
  }
  return runs;
}

/** Memory as a page carries it, unpacked. */
export function decodeMemory(data: MemoryData): MemoryModel {
  const ram = decodeRuns(data.ram);
  const runs: MemoryRun[] = [];
  const numbers = data.runs;
  for (let at = 0, last = 0; at + 2 < numbers.length; ) {
    const start = last + (numbers[at] ?? 0);
    last = start + (numbers[at + 1] ?? 0);
    const kind = data.kinds[numbers[at + 2] ?? 0];
    at += 3;
    if (kind === undefined) break;
    const { summary, ...about } = kind;
    const width = summary ? 2 : kind.places.length;
    const own = numbers.slice(at, at + width);
    runs.push({
      ...about,
      start,
      end: last,
      distances: summary ? [] : own,
      ...(summary && { summary: { runs: own[0] ?? 0, frames: own[1] ?? 0 } }),
    });
    at += width;
  }
  const grants = data.grants.map((one) => {
    const list: GrantRun[] = [];
    for (let at = 0, last = 0; at + 3 < one.runs.length; at += 4) {
      const start = last + (one.runs[at] ?? 0);
      last = start + (one.runs[at + 1] ?? 0);
      const rights = data.rights[one.runs[at + 2] ?? 0] ?? '';
      list.push({ start, end: last, rights, immutable: one.runs[at + 3] === 1 });
    }
    return list;
  });
  const ramEnd = ram.at(-1)?.end ?? 0;
  const symbols = new Map<number, string>();
  let named = 0;
  for (const [index, gap] of data.named.entries()) {
    named += gap;
    symbols.set(named, data.symbols[index] ?? '');
  }
  return {
    ram,
    runs,
    grants,
    tables: decodeRuns(data.tables),
    crashKernel: decodeRuns(data.crashKernel),
    bpf: data.bpf === null ? undefined : decodeRuns(data.bpf),
    unsent: data.unsent === null ? undefined : decodeRuns(data.unsent),
    symbols,
    ramEnd,
    end: Math.max(ramEnd, runs.at(-1)?.end ?? 0),
  };
}

/** Those of `runs`, which ascend, that have frames of `start` .. `end` - 1, at most `most` of them. */
export function runsWithin<Value extends Run>(
  runs: readonly Value[],
  { start, end }: Run,
  most: number = Number.POSITIVE_INFINITY,
): Value[] {
  const found: Value[] = [];
  for (let at = firstBehind(runs, start); at < runs.length && found.length < most; at++) {
    const run = runs[at];
    if (run === undefined || run.start >= end) break;
    found.push(run);
  }
  return found;
}

/** The worst that frames of `range` are. */
export function worstClass({ runs, ram }: MemoryModel, range: Run): PageClass {
  let worst: PageClass = runsWithin(ram, range, 1).length > 0 ? PageClass.UNMAPPED : PageClass.NOT_RAM;
  for (let at = firstBehind(runs, range.start); at < runs.length; at++) {
    const run = runs[at];
    if (run === undefined || run.start >= range.end) break;
    worst = worseOf(worst, run.pageClass);
  }
  return worst;
}
