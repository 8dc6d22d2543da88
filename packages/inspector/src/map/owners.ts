import type { Run } from '../memory/bounded-runs.ts';
import type { MemoryRun } from '../memory/memory-data.ts';
import type { MemoryModel } from '../memory/memory-model.ts';
import { PAGE_CLASSES } from '../memory/page-class.ts';
import type { ColouredRun, MapLayer } from './map-layer.ts';

/** What a page belongs to: of several the last in this list. A crash kernel has no more than what else nothing maps. */
const OWNERS = [
  PAGE_CLASSES[0],
  PAGE_CLASSES[1],
  { name: 'direct-map', title: 'the direct map alone' },
  { name: 'crash-kernel', title: 'kept for a crash kernel' },
  { name: 'elsewhere', title: 'other mappings, or stretches that are put together' },
  { name: 'user-mode', title: 'reachable from user mode' },
  { name: 'image-data', title: 'data of the image' },
  { name: 'page-tables', title: 'page tables of the kernel' },
  { name: 'rodata', title: 'constants of the image' },
  { name: 'modules', title: 'modules' },
  { name: 'bpf', title: "eBPF, by the kernel's own lists" },
  { name: 'image-text', title: 'text of the image' },
] as const;
const ownerNamed = (name: (typeof OWNERS)[number]['name']): number =>
  OWNERS.findIndex((owner) => owner.name === name);
const ELSEWHERE = ownerNamed('elsewhere');
const USER_MODE = ownerNamed('user-mode');
const OF_REGIONS: ReadonlyMap<string, number> = new Map([
  ['direct map', ownerNamed('direct-map')],
  ['kernel data', ownerNamed('image-data')],
  ['kernel rodata', ownerNamed('rodata')],
  ['modules', ownerNamed('modules')],
  ['kernel text', ownerNamed('image-text')],
]);

/** Where nothing lists eBPF's code, its class says so, and that of modules has it. */
const UNTOLD: Readonly<Record<string, string>> = {
  modules: 'modules and eBPF',
  bpf: 'eBPF alone: not told, for nothing here lists it',
};

/** The map by what pages belong to: where they are mapped, and what the kernel has them for. */
export function ownerLayer(memory: MemoryModel): MapLayer {
  const { runs, tables, crashKernel, bpf } = memory;
  const mapped = runs.map(
    (run): ColouredRun => ({ start: run.start, end: run.end, pageClass: ownerOf(run) }),
  );
  const owned = [
    [crashKernel, ownerNamed('crash-kernel')],
    [tables, ownerNamed('page-tables')],
    [bpf ?? [], ownerNamed('bpf')],
  ] as const;
  return {
    id: 'owner',
    title: 'what it belongs to',
    classes:
      bpf === undefined ? OWNERS.map(({ name, title }) => ({ name, title: UNTOLD[name] ?? title })) : OWNERS,
    runs: owned.reduce<ColouredRun[]>((base, [over, pageClass]) => painted(base, over, pageClass), mapped),
  };
}

/** `base` with the frames of `over` in the larger of two classes; all ascend and are apart. */
export function painted(
  base: readonly ColouredRun[],
  over: readonly Run[],
  pageClass: number,
): ColouredRun[] {
  const result: ColouredRun[] = [];
  let at = 0;
  for (let under = 0, above = 0; under < base.length || above < over.length; ) {
    const [one, other] = [base[under], over[above]];
    if (one !== undefined && one.end <= at) under++;
    else if (other !== undefined && other.end <= at) above++;
    else {
      const from = Math.max(at, one?.start ?? Number.POSITIVE_INFINITY);
      const fromAbove = Math.max(at, other?.start ?? Number.POSITIVE_INFINITY);
      const start = Math.min(from, fromAbove);
      const isUnder = from === start ? one : undefined;
      const isAbove = fromAbove === start ? other : undefined;
      at = Math.min(isUnder?.end ?? from, isAbove?.end ?? fromAbove);
      const worst = Math.max(isUnder?.pageClass ?? 0, isAbove === undefined ? 0 : pageClass);
      const last = result.at(-1);
      if (last?.end === start && last.pageClass === worst) result[result.length - 1] = { ...last, end: at };
      else result.push({ start, end: at, pageClass: worst });
    }
  }
  return result;
}

function ownerOf({ places, rights }: MemoryRun): number {
  if (places.length === 0) return ELSEWHERE;
  const owner = Math.max(...places.map(({ region }) => OF_REGIONS.get(region) ?? ELSEWHERE));
  return rights.endsWith('u') ? Math.max(owner, USER_MODE) : owner;
}
