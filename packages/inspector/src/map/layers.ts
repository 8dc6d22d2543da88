import type { Run } from '../memory/bounded-runs.ts';
import type { GrantRun, MemoryRun } from '../memory/memory-data.ts';
import type { MemoryModel } from '../memory/memory-model.ts';
import { classOfRights, PAGE_CLASSES } from '../memory/page-class.ts';

/** Frames of one colour. */
interface ColouredRun extends Run {
  /** Index of a class: of several in one place the largest is shown. */
  readonly pageClass: number;
}

/** One of the ways in which a map can be coloured. */
export interface MapLayer {
  readonly id: string;
  readonly title: string;
  /** What colours mean; the first two are always what is no RAM, and RAM of which nothing is known. */
  readonly classes: readonly { readonly name: string; readonly title: string }[];
  /** Ascending and apart. */
  readonly runs: readonly ColouredRun[];
}

/** What a page belongs to, by where it is mapped: of several regions the last in this list. */
const OWNERS = [
  PAGE_CLASSES[0],
  PAGE_CLASSES[1],
  { name: 'direct-map', title: 'the direct map alone' },
  { name: 'elsewhere', title: 'other mappings, or stretches that are put together' },
  { name: 'user-mode', title: 'reachable from user mode' },
  { name: 'image-data', title: 'data of the image' },
  { name: 'page-tables', title: 'page tables of the kernel' },
  { name: 'rodata', title: 'constants of the image' },
  { name: 'modules', title: 'modules and eBPF' },
  { name: 'image-text', title: 'text of the image' },
] as const;
const ownerNamed = (name: (typeof OWNERS)[number]['name']): number =>
  OWNERS.findIndex((owner) => owner.name === name);
const DIRECT_MAP = ownerNamed('direct-map');
const ELSEWHERE = ownerNamed('elsewhere');
const USER_MODE = ownerNamed('user-mode');
const PAGE_TABLES = ownerNamed('page-tables');
const OF_REGIONS: ReadonlyMap<string, number> = new Map([
  ['direct map', DIRECT_MAP],
  ['kernel data', ownerNamed('image-data')],
  ['kernel rodata', ownerNamed('rodata')],
  ['modules', ownerNamed('modules')],
  ['kernel text', ownerNamed('image-text')],
]);

/** Whether something is so for a page: what is no RAM, other RAM, and where it is. */
const isSo = (title: string, others: string): MapLayer['classes'] => [
  PAGE_CLASSES[0],
  { name: 'unmapped', title: others },
  { name: 'marked', title },
];
const CHANGED = isSo('its rights have changed', 'as it was');
const IMMUTABLE = isSo('no request changes its rights any more', 'other RAM');
const MARKED = 2;

/**
 * The ways in which the map of `memory` can be coloured.
 *
 * @param hypervisors names of those that `memory.grants` are of
 * @param changed frames whose rights are not what they were at another moment; `undefined` where there is none
 */
export function mapLayers(
  memory: MemoryModel,
  hypervisors: readonly string[],
  changed?: readonly Run[],
): [byRights: MapLayer, ...others: MapLayer[]] {
  return [
    { id: 'rights', title: 'what all mappings allow', classes: PAGE_CLASSES, runs: memory.runs },
    { id: 'owner', title: 'what it belongs to', classes: OWNERS, runs: ownersOf(memory) },
    ...memory.grants.map((grants, index) => ({
      id: `granted-${index}`,
      title: `what ${hypervisors[index] ?? 'the hypervisor'} grants`,
      classes: PAGE_CLASSES,
      runs: grants.map(colouredGrant),
    })),
    ...memory.grants.flatMap((grants, index) => {
      const runs = grants.filter(({ immutable }) => immutable).map(marked);
      const title = `what is immutable under ${hypervisors[index] ?? 'the hypervisor'}`;
      return runs.length === 0 ? [] : [{ id: `immutable-${index}`, title, classes: IMMUTABLE, runs }];
    }),
    ...(changed === undefined
      ? []
      : [{ id: 'changed', title: 'what has changed', classes: CHANGED, runs: changed.map(marked) }]),
  ];
}

const marked = ({ start, end }: Run): ColouredRun => ({ start, end, pageClass: MARKED });

function colouredGrant({ start, end, rights }: GrantRun): ColouredRun {
  return { start, end, pageClass: rights[0] === 'r' ? classOfRights(rights) : 1 };
}

function ownersOf({ runs, tables }: MemoryModel): ColouredRun[] {
  const owned: ColouredRun[] = [];
  let next = 0;
  for (const run of runs) {
    const owner = ownerOf(run);
    let at = run.start;
    // Page tables are seen in the direct map alone.
    for (; owner < PAGE_TABLES && next < tables.length; next++) {
      const table = tables[next];
      if (table === undefined || table.start >= run.end) break;
      const [start, end] = [Math.max(at, table.start), Math.min(run.end, table.end)];
      if (start < end) {
        if (at < start) owned.push({ start: at, end: start, pageClass: owner });
        owned.push({ start, end, pageClass: PAGE_TABLES });
        at = end;
      }
      if (table.end > run.end) break;
    }
    if (at < run.end) owned.push({ start: at, end: run.end, pageClass: owner });
  }
  return owned;
}

function ownerOf({ places, rights }: MemoryRun): number {
  if (places.length === 0) return ELSEWHERE;
  const owner = Math.max(...places.map(({ region }) => OF_REGIONS.get(region) ?? ELSEWHERE));
  return rights.endsWith('u') ? Math.max(owner, USER_MODE) : owner;
}
