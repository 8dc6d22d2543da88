import {
  HekiCommand,
  type HekiGuest,
  type MappingChange,
  type NamedLeaf,
  permissionChange,
} from '@heki/guest';
import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';
import type { TableEntry } from './page-tables.ts';

/** A leaf that change_page_attr changed. */
export interface ChangedLeaf extends LeafTransition {
  /** The entry as it was before. */
  readonly entry: TableEntry;
}

const { P, RW } = EntryLow;
const { XD } = EntryHigh;

/** A leaf that is about to change, or the part of it. The bits are those of an entry, without its frame. */
export interface LeafTransition {
  readonly at: VirtualFrame;
  readonly frame: Gfn;
  readonly frames: number;
  readonly old: U64;
  readonly next: U64;
}

/** Neighbouring leaves that change alike. */
interface Run {
  readonly frame: Gfn;
  frames: number;
  readonly old: U64;
  readonly next: U64;
}

/** Calls of Heki that belong together: leaves that come, go, or change alike. */
interface Group {
  readonly command: Parameters<MappingChange['leaves']>[0];
  readonly set: number;
  readonly clear: number;
  readonly runs: Run[];
}

/**
 * Tells Heki of leaves that are about to change. 0, or the error number of the first call that was refused: then those before
 * it are taken back, and the leaves must stay as they are. What pages gain is granted when `change` is in force.
 */
export function reportTransitions(
  heki: Pick<HekiGuest, 'directMap' | 'protectsMemory'>,
  change: MappingChange,
  transitions: readonly LeafTransition[],
): number {
  const { directMap, protectsMemory } = heki;
  const groups = new Map<number, Group>();
  /** The latest, which goes on with most leaves. */
  let run: Run | undefined;
  for (const { at, frame, frames, old, next } of transitions) {
    // Until protection the direct map is not counted: what it allows then, the walk of that time finds.
    if (!protectsMemory && at >= directMap.start && at < directMap.end) continue;
    if (run !== undefined && frame === run.frame + run.frames && same(old, run.old) && same(next, run.next)) {
      run.frames += frames;
      continue;
    }
    const kind = groupOf(old, next);
    if (kind === undefined) continue;
    // MEM_ATTR bits are below 8.
    const key = kind.command * 64 + kind.set * 8 + kind.clear;
    let group = groups.get(key);
    if (group === undefined) {
      group = { ...kind, runs: [] };
      groups.set(key, group);
    }
    run = { frame, frames, old, next };
    group.runs.push(run);
  }
  const told: Group[] = [];
  for (const group of groups.values()) {
    const refused = tell(change, group);
    if (refused !== 0) {
      for (const one of told.toReversed()) tell(change, inverse(one));
      return refused;
    }
    told.push(group);
  }
  return 0;
}

const same = (one: U64, other: U64): boolean => one.low === other.low && one.high === other.high;

function groupOf(old: U64, next: U64): Omit<Group, 'runs'> | undefined {
  const was = (old.low & P) !== 0;
  const is = (next.low & P) !== 0;
  if (!was && !is) return undefined;
  if (was !== is) return { command: is ? HekiCommand.MAP : HekiCommand.UNMAP, set: 0, clear: 0 };
  const bits = (low: number, high: number): { writable: boolean; noExecute: boolean } => ({
    writable: (low & RW) !== 0,
    noExecute: (high & XD) !== 0,
  });
  const gained = permissionChange('set', bits(next.low & ~old.low, next.high & ~old.high));
  const lost = permissionChange('clear', bits(old.low & ~next.low, old.high & ~next.high));
  const set = gained.set | lost.set;
  const clear = gained.clear | lost.clear;
  return set === 0 && clear === 0 ? undefined : { command: HekiCommand.UPDATE, set, clear };
}

function tell(change: MappingChange, { command, set, clear, runs }: Group): number {
  const named = runs.map(({ frame, frames, old, next }): NamedLeaf => {
    const { low, high } = command === HekiCommand.MAP ? next : old;
    return { guestFrame: frame, frames, low, high };
  });
  return change.leaves(command, named, { set, clear });
}

function inverse({ command, set, clear, runs }: Group): Group {
  const opposite =
    command === HekiCommand.MAP
      ? HekiCommand.UNMAP
      : command === HekiCommand.UNMAP
        ? HekiCommand.MAP
        : command;
  const swapped = runs.map(({ frame, frames, old, next }) => ({ frame, frames, old: next, next: old }));
  return { command: opposite, set: clear, clear: set, runs: swapped };
}
