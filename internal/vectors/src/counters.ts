import { HekiCommand, type PermissionCounters } from '@heki/guest';
import { createRam, FRAME_END, frameOf, type Gfn, gpa } from '@heki/physical-memory';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readJson } from './read.ts';
import { createRecordingGuest, type ListPages, listDifference } from './recording-guest.ts';

/** A call of the published core as vectors write it; addresses, sizes and flags in hex, the rest decimal. */
interface Call {
  readonly cmd: keyof typeof COMMANDS;
  readonly set: number;
  readonly clear: number;
  readonly setGlobal: number;
  /** `[pa, size, flags]`. */
  readonly leaves: readonly (readonly [string, string, string])[];
  readonly pageList: ListPages | null;
  /** `[pa, [read, write, execute]]` after the call. */
  readonly counters: readonly (readonly [string, readonly number[] | null])[];
  readonly where?: string;
}

const COMMANDS = {
  map: HekiCommand.MAP,
  update: HekiCommand.UPDATE,
  unmap: HekiCommand.UNMAP,
  protect: HekiCommand.PROTECT_MEMORY,
} as const;

/** Sequences of calls to the published core, with its counters and page lists: one case is one call. */
export const counters: VectorKind = {
  matches: (path) => /(?:^|\/)counters\/[^/]+\.json\.gz$/.test(path),
  run(path) {
    const result = new ResultCounter();
    for (const [index, sequence] of (readJson(path) as Call[][]).entries()) {
      runSequence(sequence, result, `sequence ${index}`);
    }
    return result;
  },
};

function runSequence(calls: readonly Call[], result: ResultCounter, name: string): void {
  // The leaves come from the vectors, so there are no page tables; all frames are memory.
  const none = { start: 0 as Gfn, end: 1 as Gfn };
  const { guest, takeLists } = createRecordingGuest({
    memory: createRam({ ranges: [none] }),
    root: none.start,
    levels: 4,
    validFrames: [{ start: 0 as Gfn, end: FRAME_END as Gfn }],
  });
  for (const [index, call] of calls.entries()) {
    const { set, clear, setGlobal } = call;
    guest.applyLeaves(COMMANDS[call.cmd], call.leaves.map(leafOf), { set, clear, setGlobal });

    const [list, ...more] = takeLists();
    const expectedList = call.pageList ?? undefined;
    const sameList = more.length === 0 && JSON.stringify(list) === JSON.stringify(expectedList);
    const wrong = call.counters
      .map(([pa, expected]) => ({
        pa,
        expected: JSON.stringify(expected),
        got: JSON.stringify(triple(guest.counters(frameOf(gpa(Number.parseInt(pa, 16)))))),
      }))
      .filter(({ expected, got }) => expected !== got);
    result.count(sameList && wrong.length === 0, () =>
      [
        `${name}, call ${index}: ${call.cmd}${call.where === undefined ? '' : ` in ${call.where}`}`,
        ...(sameList ? [] : [listDifference(expectedList, list)]),
        ...wrong.map(({ pa, expected, got }) => `counters of ${pa}: expected ${expected}, got ${got}`),
      ].join('\n'),
    );
  }
}

function leafOf([pa, size, flags]: readonly [string, string, string]) {
  const digits = flags.padStart(16, '0');
  return {
    guestFrame: frameOf(gpa(Number.parseInt(pa, 16))),
    frames: Number.parseInt(size, 16) / 4096,
    low: Number.parseInt(digits.slice(8), 16),
    high: Number.parseInt(digits.slice(0, 8), 16),
  };
}

function triple(counters: PermissionCounters | undefined): readonly number[] | null {
  return counters === undefined ? null : [counters.read, counters.write, counters.execute];
}
