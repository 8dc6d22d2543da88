import { firstBehind, type Gfn, type Pfn, type StateDigest } from '@heki/physical-memory';
import type { GuestMemoryRegion } from './host.ts';
import type { Rights } from './rights.ts';
import type { DepartedFrames, ProtectionState } from './state.ts';

/** What was asked for a guest frame. */
export interface AskedRights {
  readonly rights: Rights;
  /** No later request may change the frame. */
  readonly immutable: boolean;
}

/** What was asked for frames of a region, and how much of it. */
export interface AskedFrames extends AskedRights {
  readonly start: Gfn;
  readonly end: Gfn;
}

/** Guest frames for whose bytes the same was asked under other names. */
interface SharedRun extends GuestFrames {
  readonly others: readonly AskedRights[];
}

/** The guest frames `start` .. `end` - 1. */
export interface GuestFrames {
  readonly start: Gfn;
  readonly end: Gfn;
}

/**
 * Which guest frames are the same host frame, now or one after the other. Requests are for guest frames; what they withhold, they withhold
 * from the bytes, whatever other guest frame these are: {@link rightsUnderAllNames}.
 */
export interface HostFrames {
  /** Whether a frame of `start` .. `end` - 1 has another name, or had: then its rights are looked up page by page. */
  isShared(start: number, end: number): boolean;
  /** The other guest frames that are the host frames of `start` .. `end` - 1. */
  aliases(start: number, end: number): readonly GuestFrames[];
  /** Whether something was asked for the bytes of `start` .. `end` - 1 under another name. `isAsked` knows it of guest frames. */
  hasOthers(start: number, end: number, isAsked: (start: Gfn, end: Gfn) => boolean): boolean;
  /** Whether the bytes of `start` .. `end` - 1 may not be asked for under another name. `isImmutable` knows it of guest frames. */
  isImmutable(start: number, end: number, isImmutable: (start: Gfn, end: Gfn) => boolean): boolean;
  /** What was asked for the bytes of `gfn` under other names. `asked` knows what was asked for a guest frame, if anything. */
  othersOf(gfn: Gfn, asked: (gfn: Gfn) => AskedRights | undefined): readonly AskedRights[];
  /**
   * The frames `start` .. `end` - 1 in runs, in order, with what {@link othersOf} says of each frame of a run. `asked` knows what was asked for guest
   * frames, in order.
   */
  runs(start: Gfn, end: Gfn, asked: (start: Gfn, end: Gfn) => Iterable<AskedFrames>): readonly SharedRun[];
  /** The region is memory now. */
  come(region: GuestMemoryRegion): void;
  /** The region is not memory any more. What was `asked` for its frames, in order, goes on to hold for its bytes. */
  leave(region: GuestMemoryRegion, asked: Iterable<AskedFrames>): void;
  /** What holds for host frames under guest frames that they are no longer, in order. */
  readonly departed: readonly DepartedFrames[];
  /** Forgets what is remembered and takes this. */
  replace(departed: readonly DepartedFrames[]): void;
  /** What brings back all of now. */
  checkpoint(): () => void;
  /** Tells `digest` all of now. */
  digest(digest: StateDigest): void;
}

/**
 * The rights of a guest frame with `own` rights, whose bytes have other names. What was withheld from any of them, reading and storing, is
 * withheld from all. Executing them is a matter of each name, because what cannot be stored to is the same code everywhere; only a frame
 * that was not `asked` for executes no more than the others may.
 */
export function rightsUnderAllNames(own: Rights, asked: boolean, others: readonly AskedRights[]): Rights {
  let { read, write, supervisorExecute, userExecute } = own;
  for (const { rights } of others) {
    read &&= rights.read;
    write &&= rights.write && rights.read;
    if (asked) continue;
    supervisorExecute &&= rights.supervisorExecute;
    userExecute &&= rights.userExecute;
  }
  if (read || !own.read) return { read, write, supervisorExecute, userExecute };
  // What may not be read may not be executed either: few processors know execution alone.
  return { read, write, supervisorExecute: false, userExecute: false };
}

/** A run of host frames, and the first of the guest frames that they are. */
interface Name {
  readonly start: Pfn;
  readonly end: Pfn;
  readonly gfn: Gfn;
}

const nameOf = ({ start, frames, backing }: GuestMemoryRegion): Name => ({
  start: backing,
  end: (backing + frames) as Pfn,
  gfn: start,
});

/** The part of a name within host frames. */
function within<Run extends Name>(name: Run, start: number, end: number): Run | undefined {
  if (name.start >= end || start >= name.end) return undefined;
  const first = Math.max(name.start, start) as Pfn;
  return {
    ...name,
    start: first,
    end: Math.min(name.end, end) as Pfn,
    gfn: (name.gfn + (first - name.start)) as Gfn,
  };
}

const guestFramesOf = ({ start, end, gfn }: Name): GuestFrames => ({
  start: gfn,
  end: (gfn + (end - start)) as Gfn,
});

/** Knows no region yet. */
export function createHostFrames(): HostFrames {
  /** In the order of host frames. */
  const names: Name[] = [];
  /** No host frame has two names: {@link names} are then in the order of their ends, too. */
  let isApart = true;
  let departed: readonly DepartedFrames[] = [];
  /** Guest frames whose bytes have other names, or had. */
  let shared: readonly GuestFrames[] = [];

  /** Names and departed frames within host frames, but for what is at `gfn`. */
  const othersAt = <Run extends Name>(runs: readonly Run[], start: number, end: number, gfn: number): Run[] =>
    runs.flatMap((run) => {
      const part = within(run, start, end);
      return part === undefined || part.gfn - part.start === gfn - start ? [] : [part];
    });

  function look(): void {
    shared = names.flatMap((name) =>
      [
        ...othersAt(names, name.start, name.end, name.gfn),
        ...othersAt(departed, name.start, name.end, name.gfn),
      ].flatMap(({ start, end }) => {
        const part = within(name, start, end);
        return part === undefined ? [] : [guestFramesOf(part)];
      }),
    );
  }

  /** The names of guest frames. */
  const namesIn = (first: number, last: number): Name[] =>
    names.flatMap((name) => {
      const start = Math.max(first, name.gfn);
      const end = Math.min(last, name.gfn + (name.end - name.start));
      const backing = name.start + (start - name.gfn);
      const part = within(name, backing, backing + (end - start));
      return start < end && part !== undefined ? [part] : [];
    });

  const isShared = (first: number, last: number): boolean =>
    shared.some(({ start, end }) => start < last && first < end);

  function aliases(first: number, last: number): readonly GuestFrames[] {
    if (!isShared(first, last)) return [];
    return namesIn(first, last).flatMap(({ start, end, gfn }) =>
      othersAt(names, start, end, gfn).map(guestFramesOf),
    );
  }

  return {
    isShared,
    aliases,
    hasOthers(first, last, isAsked) {
      if (!isShared(first, last)) return false;
      return (
        aliases(first, last).some(({ start, end }) => isAsked(start, end)) ||
        namesIn(first, last).some(({ start, end, gfn }) => othersAt(departed, start, end, gfn).length > 0)
      );
    },
    isImmutable(first, last, isImmutable) {
      if (!isShared(first, last)) return false;
      return (
        aliases(first, last).some(({ start, end }) => isImmutable(start, end)) ||
        namesIn(first, last).some(({ start, end, gfn }) =>
          othersAt(departed, start, end, gfn).some(({ immutable }) => immutable),
        )
      );
    },
    othersOf(gfn, asked) {
      if (!isShared(gfn, gfn + 1)) return [];
      return namesIn(gfn, gfn + 1).flatMap(({ start, end }) => [
        ...othersAt(names, start, end, gfn).flatMap((name) => asked(name.gfn) ?? []),
        ...othersAt(departed, start, end, gfn),
      ]);
    },
    runs(first, last, asked) {
      if (!isShared(first, last)) return first < last ? [{ start: first, end: last, others: [] }] : [];
      // What is asked under other names, by the guest frames that they are here, in the order of othersOf().
      const others = namesIn(first, last).flatMap((name) => {
        const here = ({ start, end }: GuestFrames, by: number) => ({ start: start - by, end: end - by });
        return [
          ...othersAt(names, name.start, name.end, name.gfn).flatMap((other) => {
            const by = other.gfn - other.start + name.start - name.gfn;
            const { start, end } = guestFramesOf(other);
            return [...asked(start, end)].map((run) => ({ ...run, ...here(run, by) }));
          }),
          ...othersAt(departed, name.start, name.end, name.gfn).map((run) => {
            const start = name.gfn + (run.start - name.start);
            return { ...run, start, end: start + (run.end - run.start) };
          }),
        ];
      });
      const borders = new Set([first, last, ...others.flatMap(({ start, end }) => [start, end])]);
      const sorted = [...borders].filter((frame) => frame >= first && frame <= last).sort((a, b) => a - b);
      return sorted.slice(0, -1).map((start, index) => ({
        start: start as Gfn,
        end: (sorted[index + 1] ?? last) as Gfn,
        others: others.filter((run) => run.start <= start && start < run.end),
      }));
    },
    come(region) {
      const name = nameOf(region);
      const next = isApart
        ? firstBehind(names, name.start)
        : names.findIndex(({ start }) => start > name.start);
      const place = next < 0 ? names.length : next;
      isApart &&= (names[place]?.start ?? name.end) >= name.end;
      names.splice(place, 0, name);
      if (isApart && !departed.some((run) => within(run, name.start, name.end) !== undefined)) return;
      // Where it is what it was, its guest frames still know what was asked for them.
      departed = departed.flatMap((run) => outside(run, name));
      look();
    },
    leave(region, asked) {
      const name = nameOf(region);
      const index = names.findIndex(({ gfn }) => gfn === name.gfn);
      if (index >= 0) names.splice(index, 1);
      isApart ||= names.every(({ start }, at) => (names[at - 1]?.end ?? start) <= start);
      const left = [...asked].map(({ start, end, rights, immutable }) => ({
        start: (name.start + (start - name.gfn)) as Pfn,
        end: (name.start + (end - name.gfn)) as Pfn,
        gfn: start,
        rights,
        immutable,
      }));
      if (left.length === 0 && shared.length === 0) return;
      departed = [...departed, ...left].sort((a, b) => a.start - b.start || a.gfn - b.gfn);
      look();
    },
    get departed() {
      return departed;
    },
    checkpoint() {
      const kept = { names: [...names], isApart, departed, shared };
      return () => {
        names.splice(0, names.length, ...kept.names);
        ({ isApart, departed, shared } = kept);
      };
    },
    digest(digest) {
      for (const name of names) digestName(name, digest);
      for (const run of departed) {
        digestName(run, digest);
        const { read, write, supervisorExecute, userExecute } = run.rights;
        digest.word(
          (run.immutable ? 1 : 0) |
            (read ? 2 : 0) |
            (write ? 4 : 0) |
            (supervisorExecute ? 8 : 0) |
            (userExecute ? 16 : 0),
        );
      }
      digest.word(names.length);
    },
    replace(frames) {
      if (departed.length === 0 && frames.length === 0) return;
      departed = [...frames];
      look();
    },
  };
}

function digestName({ start, end, gfn }: Name, digest: StateDigest): void {
  digest.add(start);
  digest.add(end);
  digest.add(gfn);
}

/** What of departed frames is not the same guest frames again. */
function outside(run: DepartedFrames, { start, end, gfn }: Name): DepartedFrames[] {
  if (run.end <= start || run.start >= end || run.gfn - run.start !== gfn - start) return [run];
  const before = within(run, run.start, start);
  const after = within(run, end, run.end);
  return [before, after].filter((part) => part !== undefined);
}

/** What is remembered as a part of a saved state. */
export function departedOf({ departed }: HostFrames): Pick<ProtectionState, 'departed'> {
  return departed.length === 0 ? {} : { departed };
}
