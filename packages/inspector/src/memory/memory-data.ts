import { type BoundedRuns, boundedRuns, type Run } from './bounded-runs.ts';
import { classOfRights, PageClass, worseOf } from './page-class.ts';

/** One of the addresses at which frames are mapped. */
export interface Place {
  readonly region: string;
  /** `rw-`: what all levels of tables allow together; `rw-u` also to user mode. */
  readonly rights: string;
  /** What the leaf entry alone says. */
  readonly leaf: string;
  /** The size of the leaf: `4K`, `2M`, `1G`. */
  readonly size: string;
}

/** Frames with the same mappings, which lie at the same distances from them. */
export interface MemoryRun extends Run {
  readonly pageClass: PageClass;
  /** What all mappings together allow: `rwx`. */
  readonly rights: string;
  readonly places: readonly Place[];
  /** For each place, its virtual frame of frame 0: add a frame. */
  readonly distances: readonly number[];
  /** Mappings beside those. */
  readonly unlisted: number;
  /** Where several runs are put together: how many there were, and how many of the frames are mapped. `pageClass` is the worst of them then. */
  readonly summary?: { readonly runs: number; readonly frames: number };
}

/** What a hypervisor grants the kernel for frames. */
export interface GrantRun extends Run {
  /** `r-x`, or `several` where runs are put together. */
  readonly rights: string;
  /** No request of the guest changes it. */
  readonly immutable: boolean;
}

/** What lies at the first byte of a page of code or constants. */
export interface PageName {
  readonly virtualFrame: number;
  /** `vfs_read+0x10`. */
  readonly symbol: string;
}

/** What memory is, as the page carries it: numbers that mostly are small. */
export interface MemoryData {
  /** Where RAM is, by the guest's account: gap since the last end, length. */
  readonly ram: readonly number[];
  readonly kinds: readonly RunKind[];
  /** Gap since the last end, length, index of the kind; then a distance for each place, or the two numbers of a summary. */
  readonly runs: readonly number[];
  /** Frames of the blocks within which runs were put together; 0 where all are there. */
  readonly block: number;
  /** For each hypervisor: gap since the last end, length, index in `rights`, 1 for immutable. */
  readonly grants: readonly { readonly runs: readonly number[]; readonly block: number }[];
  readonly rights: readonly string[];
  /** Where the kernel's page tables are, as {@link ram} has it. */
  readonly tables: readonly number[];
  /** RAM that is kept for a crash kernel, as far as it is known. */
  readonly crashKernel: readonly number[];
  /** Pages of eBPF programs, and packs of them; `null` where nothing lists them. */
  readonly bpf: readonly number[] | null;
  /** RAM that a hypervisor was asked nothing for; `null` where none is asked, or its answer is not known. */
  readonly unsent: readonly number[] | null;
  /** Symbols by virtual frames, which ascend: the gap since the last one. */
  readonly named: readonly number[];
  readonly symbols: readonly string[];
}

interface RunKind {
  readonly pageClass: PageClass;
  readonly rights: string;
  readonly places: readonly Place[];
  readonly unlisted: number;
  /** The runs of this kind are several put together. */
  readonly summary: boolean;
}

/** Runs of each list that a page carries: some 20 bytes each. */
const MOST_RUNS = 2 ** 15;

/**
 * Memory as the page carries it.
 *
 * @param options.ram ascending and apart, as all runs are
 * @param options.grants what each hypervisor grants
 * @param options.names ascending
 * @param options.tables the kernel's page tables
 * @param options.bpf pages of eBPF, where something lists them
 * @param options.unsent RAM that the hypervisor was asked nothing for, where that is known
 * @param options.most runs of each list, of which there may be any number
 */
export function encodeMemory(options: {
  readonly ram: readonly Run[];
  readonly runs: readonly MemoryRun[];
  readonly grants: readonly (readonly GrantRun[])[];
  readonly names?: readonly PageName[];
  readonly tables?: readonly Run[];
  readonly crashKernel?: readonly Run[];
  readonly bpf?: readonly Run[] | undefined;
  readonly unsent?: readonly Run[] | undefined;
  readonly most?: number;
}): MemoryData {
  const { ram, names = [], tables = [], crashKernel = [], bpf, unsent, most = MOST_RUNS } = options;
  const spans = (list: readonly Run[]): number[] => gapsOf(boundedRuns(list, most, spanOf).runs);
  const mapped = boundedRuns(joined(options.runs, isSameMemory), most, summaryOf);
  const kinds = new Map<string, number>();
  const kindList: RunKind[] = [];
  const runs: number[] = [];
  let last = 0;
  for (const run of mapped.runs) {
    const { start, end, pageClass, rights, places, distances, unlisted, summary } = run;
    const kind = { pageClass, rights, places, unlisted, summary: summary !== undefined };
    const index = indexOf(kinds, JSON.stringify(kind));
    if (index === kindList.length) kindList.push(kind);
    runs.push(start - last, end - start, index);
    if (summary === undefined) for (const distance of distances) runs.push(distance);
    else runs.push(summary.runs, summary.frames);
    last = end;
  }
  const rights = new Map<string, number>();
  return {
    ram: gapsOf(ram),
    kinds: kindList,
    runs,
    block: mapped.block,
    grants: options.grants.map((grants) => {
      const bounded: BoundedRuns<GrantRun> = boundedRuns(joined(grants, isSameGrant), most, severalOf);
      return { runs: encodeGrants(bounded.runs, rights), block: bounded.block };
    }),
    rights: [...rights.keys()],
    tables: spans(tables),
    crashKernel: spans(crashKernel),
    bpf: bpf === undefined ? null : spans(bpf),
    // Put together there are more of them than there are, and never fewer.
    unsent: unsent === undefined ? null : spans(unsent),
    named: names.map(({ virtualFrame }, index) => virtualFrame - (names[index - 1]?.virtualFrame ?? 0)),
    symbols: names.map(({ symbol }) => symbol),
  };
}

/** The run of frames with those mappings; `run.rights` is what they allow together. */
export function memoryRun(
  run: Run & Pick<MemoryRun, 'rights' | 'places' | 'distances' | 'unlisted'>,
): MemoryRun {
  return { ...run, pageClass: classOfRights(run.rights) };
}

function summaryOf(group: readonly MemoryRun[]): MemoryRun {
  return {
    start: group[0]?.start ?? 0,
    end: group.at(-1)?.end ?? 0,
    // Not what all of them together allow: one frame that is written and another that is executed are no frame that is both.
    pageClass: group.reduce<PageClass>(
      (worst, { pageClass }) => worseOf(worst, pageClass),
      PageClass.NOT_RAM,
    ),
    rights: '',
    places: [],
    distances: [],
    unlisted: 0,
    summary: {
      runs: group.reduce((sum, { summary }) => sum + (summary?.runs ?? 1), 0),
      frames: group.reduce((sum, { start, end, summary }) => sum + (summary?.frames ?? end - start), 0),
    },
  };
}

function severalOf(group: readonly GrantRun[]): GrantRun {
  const { start = 0 } = group[0] ?? {};
  return { start, end: group.at(-1)?.end ?? 0, rights: 'several', immutable: false };
}

function spanOf(group: readonly Run[]): Run {
  return { start: group[0]?.start ?? 0, end: group.at(-1)?.end ?? 0 };
}

/** Runs of which neighbours that agree are one. */
function joined<Value extends Run>(runs: readonly Value[], agree: (a: Value, b: Value) => boolean): Value[] {
  const result: Value[] = [];
  for (const run of runs) {
    const last = result.at(-1);
    if (last !== undefined && last.end === run.start && agree(last, run)) {
      result[result.length - 1] = { ...last, end: run.end };
    } else result.push(run);
  }
  return result;
}

function isSameMemory(a: MemoryRun, b: MemoryRun): boolean {
  return (
    a.rights === b.rights &&
    a.unlisted === b.unlisted &&
    a.places.length === b.places.length &&
    a.distances.every((distance, index) => distance === b.distances[index]) &&
    a.places.every((place, index) => isSamePlace(place, b.places[index]))
  );
}

function isSamePlace(a: Place, b: Place | undefined): boolean {
  return (
    a === b || (a.region === b?.region && a.rights === b.rights && a.leaf === b.leaf && a.size === b.size)
  );
}

function isSameGrant(a: GrantRun, b: GrantRun): boolean {
  return a.rights === b.rights && a.immutable === b.immutable;
}

function encodeGrants(grants: readonly GrantRun[], rightsTable: Map<string, number>): number[] {
  const encoded: number[] = [];
  let last = 0;
  for (const { start, end, rights, immutable } of grants) {
    encoded.push(start - last, end - start, indexOf(rightsTable, rights), immutable ? 1 : 0);
    last = end;
  }
  return encoded;
}

function gapsOf(ranges: readonly Run[]): number[] {
  let last = 0;
  return ranges.flatMap(({ start, end }) => {
    const gap = start - last;
    last = end;
    return [gap, end - start];
  });
}

function indexOf(table: Map<string, number>, key: string): number {
  const known = table.get(key);
  if (known !== undefined) return known;
  table.set(key, table.size);
  return table.size - 1;
}
