import { grantedRights, kernelRightsText } from '@heki/machine';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { framesBehind, type Life } from './life.ts';
import type { PageClass } from './page-classes.ts';
import type { ExpectedRights } from './schema/step-schema.ts';

/** What pages are granted in the end, beside what a scenario expects. */
export interface RightsVerdict {
  readonly of: string;
  /** What is expected: `r-x`, or `never wx`. */
  readonly expects: string;
  /** Pages by what the hypervisor grants the kernel there: `r-x`. Empty when there are no such pages. */
  readonly granted: Readonly<Record<string, number>>;
  /** Every page is as expected, and there is one. */
  readonly expected: boolean;
  /** Why the pages are not known: they are not, in this life. */
  readonly reason: string | undefined;
}

/** Holds what a scenario expects of rights against what the second level grants. */
export function checkRights(
  life: Life,
  classes: readonly PageClass[],
  expectations: readonly ExpectedRights[],
): readonly RightsVerdict[] {
  return expectations.map(({ of, ...what }) => {
    const granted = grantedTo(life, classes, of);
    const right = 'grants' in what ? (rights: string) => rights === what.grants : isNotWx;
    const expects = 'grants' in what ? what.grants : `never ${what.never}`;
    if (granted === undefined || granted.size === 0) {
      const reason = `there are no pages of ${of}: expected ${placesOf(life, classes)}`;
      return { of, expects, granted: {}, expected: false, reason };
    }
    const expected = [...granted.keys()].every(right);
    return { of, expects, granted: Object.fromEntries(granted), expected, reason: undefined };
  });
}

const isNotWx = (rights: string): boolean => !(rights.includes('w') && rights.includes('x'));

/** Pages by the rights that they are granted; `undefined` for what this life does not have. */
function grantedTo(
  { machine, modules, programs, areas, processes }: Life,
  classes: readonly PageClass[],
  of: string,
): ReadonlyMap<string, number> | undefined {
  if (of === 'every page') return total(classes.map(({ granted }) => granted));
  const ofClass = classes.find(({ name }) => name === of);
  if (ofClass !== undefined) return ofClass.granted;
  const [, kind, name = '', part] = /^(module|program|area|process) (\S+)(?: (\S+))?$/.exec(of) ?? [];
  const rightsAt = (address: VirtualAddress, pages: number, root?: Gfn) =>
    count(framesBehind(machine, address, pages, root), (frame) =>
      kernelRightsText(grantedRights(machine.virtualMachine, frame)),
    );
  if (kind === 'module') {
    const place = [...(modules.get(name)?.memory ?? [])].find(([section]) => section === part)?.[1];
    return place && rightsAt(place.address, place.pages);
  }
  const process = kind === 'process' ? processes.get(name) : undefined;
  if (process !== undefined) {
    const place = Object.entries(process.areas).find(([one]) => one === part)?.[1];
    return place && rightsAt(place.address, place.pages, process.pageTableRoot);
  }
  const area = kind === 'area' ? areas.get(name) : undefined;
  if (area !== undefined) return rightsAt(area.address, area.pages);
  const program = kind === 'program' ? programs.get(name) : undefined;
  return program === undefined ? undefined : rightsAt(program, 1);
}

function count(frames: readonly Gfn[], key: (frame: Gfn) => string): ReadonlyMap<string, number> {
  return total(frames.map((frame) => new Map([[key(frame), 1]])));
}

function total(counts: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const sum = new Map<string, number>();
  for (const [key, pages] of counts.flatMap((one) => [...one])) sum.set(key, (sum.get(key) ?? 0) + pages);
  return sum;
}

function placesOf({ modules, programs, areas, processes }: Life, classes: readonly PageClass[]): string {
  return [
    'every page',
    ...classes.map(({ name }) => name),
    ...[...modules].flatMap(([name, { memory }]) =>
      [...memory.keys()].map((part) => `module ${name} ${part}`),
    ),
    ...[...programs.keys()].map((name) => `program ${name}`),
    ...[...areas.keys()].map((name) => `area ${name}`),
    ...[...processes].flatMap(([name, process]) =>
      Object.keys(process.areas).map((part) => `process ${name} ${part}`),
    ),
  ].join(', ');
}
